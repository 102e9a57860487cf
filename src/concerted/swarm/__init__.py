"""How do many simple ones find an answer? They search, find round trips, share out work, judge, and average."""
