"""Commands about meeting points."""
