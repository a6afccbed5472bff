"""Runs the real code of CosyVoice and IndexTTS with small random weights: `python -m hack.torch_engines --help`."""
