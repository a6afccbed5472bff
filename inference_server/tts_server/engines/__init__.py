"""Engines: what turns a sentence into sound, each in killable processes of its own.

Nothing is imported here: a worker process starts through this package, and pays for every import.
"""
