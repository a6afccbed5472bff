"""Facts about live objects as people read them: pure, for the commands of `kubectl tts` and for the console."""
