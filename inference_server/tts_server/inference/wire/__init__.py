"""The protocol between a worker and its parent: frames, shared memory, errors."""
