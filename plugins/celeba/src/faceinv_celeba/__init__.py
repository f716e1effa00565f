"""Data set CelebA."""
