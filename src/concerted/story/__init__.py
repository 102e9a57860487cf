"""What has happened, and why? The log in words: pure functions over its entries."""
