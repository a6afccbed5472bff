"""Stands for the submodule of the checkout."""
