"""Readers of weights files; none of them runs anything in a file."""
