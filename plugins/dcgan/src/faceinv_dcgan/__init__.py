"""faceinv generator: a DCGAN trained on rendered people."""
