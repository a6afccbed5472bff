"""`kubectl tts console`: a web page on this machine over the reader's own kubeconfig. Nothing of it runs in a cluster."""
