"""faceinv losses and methods of ID2image, and identity metrics."""
