from .bank import (
    open_bank as open_bank,
)
