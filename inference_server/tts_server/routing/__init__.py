"""Routing: which model and voice synthesize a request, its segments, and what replaces a model that fails."""
