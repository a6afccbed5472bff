"""A Kubernetes cluster for tests and for the demo, on a machine that may have no Docker engine."""
