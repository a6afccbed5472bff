"""The Onnx engine: neural voices as ONNX graphs, each family of graphs by an adapter of its own.

Nothing is imported here: a worker process starts through this package, and pays for every import.
"""
