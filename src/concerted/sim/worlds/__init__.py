"""Clusters in virtual time: machines with clocks and disks of their own, what befalls them, and many worlds of them."""
