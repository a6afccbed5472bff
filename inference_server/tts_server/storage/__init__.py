"""Object storage: audio that clients fetch by link, and large cached audio."""
