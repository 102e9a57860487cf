"""Who works with whom: the election of leaders."""
