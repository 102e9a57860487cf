"""Who gets which task: the scoring of bids, the rules of an auction, the optimal assignment, the reasons."""
