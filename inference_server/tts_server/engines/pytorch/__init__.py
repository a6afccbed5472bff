"""Parts that engines share whose code is a checkout of another project, and which run on PyTorch.

Nothing is imported here: a worker process starts through this package, and pays for every import.
"""
