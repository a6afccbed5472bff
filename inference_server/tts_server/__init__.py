"""The inference server: speech over HTTP, alone or as one pool of a fleet."""
