"""faceinv probe, loss and metric: 68 face landmarks."""
