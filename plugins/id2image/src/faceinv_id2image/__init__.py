"""Losses and methods of ID2image (Li, Smith, Huber 2023), and identity metrics."""
