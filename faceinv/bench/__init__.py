"""A config becomes a grid of cells, and each cell becomes a record."""

__all__: list[str] = []
