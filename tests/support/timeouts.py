"""How long tests wait for what should come at once: a machine full of other tests may take seconds for anything."""

HANG_SECONDS = 60.0
"""Longest wait for anything that should happen at once."""
PATIENCE_SECONDS = 5.0
"""With a Redis that answers; a server gives it a quarter of a second."""
