"""Tables, charts and pages made from records; runs no network."""

__all__: list[str] = []
