"""Reads a fleet with the rights of whoever runs it, and shows its objects as people read them: for `kubectl tts`."""
