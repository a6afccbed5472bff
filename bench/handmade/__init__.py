"""Servers as people write them in an afternoon, to be measured beside ours."""
