"""faceinv encoders trained with the ArcFace loss."""
