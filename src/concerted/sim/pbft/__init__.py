"""What if replicas of PBFT lie, and everything else breaks as well?"""
