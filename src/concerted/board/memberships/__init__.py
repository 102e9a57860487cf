"""Groups and who is in them: the machine, and its parts."""
