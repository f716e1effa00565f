"""faceinv data set: CelebA."""
