"""The IndexTTS engine: IndexTTS 1, 1.5, 2 and 2.5 of bilibili, from a mounted checkout.

Nothing is imported here: a worker process starts through this package, and pays for every import.
"""
