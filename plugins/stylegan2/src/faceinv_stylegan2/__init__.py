"""faceinv generator: StyleGAN2 from the published files; nothing in them is executed."""
