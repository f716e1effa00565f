"""Data sets: folders of photographs, and samples of the generator."""
