"""Protocols: attack success and identification."""
