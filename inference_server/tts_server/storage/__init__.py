"""Stores: where audio is kept that a caller fetches by link."""
