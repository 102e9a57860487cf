"""How to speak with a group of replicas: to whoever leads, or to all where some may lie."""
