"""Messages: how they are stored, delivered and told of."""
