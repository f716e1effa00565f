"""Attribute inference on photographs: what their descriptors give away (the paper's Table 1)."""
