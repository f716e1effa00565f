"""Readers of weights files; none of them executes anything in a file."""
