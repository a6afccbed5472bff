"""Who speaks next, and who speaks when another cannot."""
