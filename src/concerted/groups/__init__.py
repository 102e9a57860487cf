"""Who works with whom: the election of leaders, and coalitions: what they are worth and who gets what of it."""
