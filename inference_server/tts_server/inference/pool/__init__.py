"""A pool of worker processes of one engine: dispatching utterances, batching them, restarting workers that fail."""
