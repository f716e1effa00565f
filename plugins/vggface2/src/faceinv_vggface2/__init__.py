"""faceinv encoders of the VGGFace2 and VGGFace papers."""
