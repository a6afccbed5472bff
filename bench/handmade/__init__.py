"""Simple servers, as people write them in an afternoon, to compare with ours."""
