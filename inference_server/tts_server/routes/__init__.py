"""The routes: each reads a request, calls the pipeline, and answers."""
