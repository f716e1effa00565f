"""faceinv generator: StyleGAN2, from the published files, without running anything in them."""
