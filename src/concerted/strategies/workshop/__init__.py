"""The workshop: what all strategies that give out tasks share."""
