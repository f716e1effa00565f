"""Where batches are computed: in this process, in worker processes, on Ray, or in shards."""

__all__: list[str] = []
