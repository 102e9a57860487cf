"""Clusters that keep a replicated log, simulated: the cores of any protocol, over disks that tear, under invariants."""
