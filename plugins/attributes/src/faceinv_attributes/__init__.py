"""faceinv probes: head pose, skin and background colour, direction of the light."""
