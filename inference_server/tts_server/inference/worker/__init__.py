"""The worker process, which hosts one engine."""
