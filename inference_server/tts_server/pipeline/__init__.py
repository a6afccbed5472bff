"""One request from admission to its last byte; `synthesis` draws the path of its audio."""
