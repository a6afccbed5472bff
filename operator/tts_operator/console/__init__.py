"""`kubectl tts console`: a web page on this machine over the reader's own kubeconfig, without a cluster component."""
