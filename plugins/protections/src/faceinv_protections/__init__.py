"""Protections of face descriptors, each implemented from its own paper, with the best attack known on it."""
