"""From reconstructions to scores: encoders that judge, photographs of the same people, metrics and protocols."""
