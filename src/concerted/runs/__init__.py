"""What is a run in memory? A strategy on its own loop, fed with inputs, giving rows and effects; no I/O, no clock."""
