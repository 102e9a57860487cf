"""The market: bids on bundles, the rules that clear it, and what the winners are paid."""
