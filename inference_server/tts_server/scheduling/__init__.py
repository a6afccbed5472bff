"""Scheduling: which utterance runs next, which run together, and how long a wait will be. Pure."""
