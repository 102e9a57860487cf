"""What is to be done, who holds what: tasks with their claims, and the graph of what comes after what."""
