"""Probes of head pose, skin and background colour, and direction of the light."""
