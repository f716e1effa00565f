"""Where the cells of a grid are computed: here, in workers, on a cluster, or apart and merged."""
