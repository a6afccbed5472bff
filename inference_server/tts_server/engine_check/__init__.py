"""`tts-server check-engine`: asks another speech server what it can, and says what to write into a TTSModel."""
