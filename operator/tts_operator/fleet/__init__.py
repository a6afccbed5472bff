"""Reads a fleet with kubectl, with the rights of whoever runs it: for `kubectl tts` and its console."""
