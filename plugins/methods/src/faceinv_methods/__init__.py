"""Inversion methods that the paper's is compared with, each written from its own paper."""
