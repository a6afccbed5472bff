"""The CosyVoice engine: CosyVoice, CosyVoice 2 and CosyVoice 3 of FunAudioLLM, from a mounted checkout.

Nothing is imported here: a worker process starts through this package, and pays for every import.
"""
