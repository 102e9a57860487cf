"""Decisions over replicated logs: voters, deadlines and dying leaders, judged by a slow and plain oracle."""
