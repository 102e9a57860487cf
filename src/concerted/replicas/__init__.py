"""Replicas: what makes a consensus core a process with a file, neighbours and clients."""
