"""Inference: engine clients, the worker pool behind the local ones, the worker process, and the frames between them."""
