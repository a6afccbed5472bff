"""Front ends of family Kokoro: text of one language to the phonemes of its vocabulary.

Nothing is imported here: each front end loads its package when its language is first used.
"""
