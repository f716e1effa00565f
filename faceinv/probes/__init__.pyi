from .whitening import (
    Whitening as Whitening,
)
