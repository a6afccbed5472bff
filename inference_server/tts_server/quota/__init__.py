"""Admission: who may call, and how often."""
