"""Files of a model that are not in the image: downloads and verifies them before the server starts."""
