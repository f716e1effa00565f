"""Attribute inference on photographs: what their descriptors give away (the paper's Table 1)."""

__all__: list[str] = []
