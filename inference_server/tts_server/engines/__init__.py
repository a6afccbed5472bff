"""Engines: synthesize one segment of text at a time, each in worker processes that may be killed.

Nothing is imported here: a worker process starts through this package, and pays for every import.
"""
