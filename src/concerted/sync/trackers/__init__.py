"""Progress trackers: the machine, and its parts."""
