"""faceinv data set: Labeled Faces in the Wild."""
