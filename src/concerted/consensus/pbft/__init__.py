"""PBFT, as a core without clock, dice, disk or network: what comes in is an argument, what goes out is a `Ready`."""
