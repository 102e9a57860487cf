"""Commands about what is held and shared."""
