"""What can be read from descriptors of photographs: section 3 of the paper, for any data set, encoder and attribute."""
