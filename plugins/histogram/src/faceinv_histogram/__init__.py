"""faceinv probe, losses and metric: colour histograms."""
