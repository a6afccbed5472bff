"""A package of the fake checkout."""
