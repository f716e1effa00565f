"""faceinv detector: MTCNN."""
