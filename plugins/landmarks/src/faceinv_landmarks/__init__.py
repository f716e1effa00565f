"""Probe, loss and metric of 68 face landmarks."""
