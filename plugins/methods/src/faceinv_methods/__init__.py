"""Inversion methods to compare ID2image with, each implemented from its own paper."""
