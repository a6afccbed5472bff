"""HTTP, and nothing else: read a request, call the pipeline, answer."""
