from .bank import (
    BankSettings as BankSettings,
    open_bank as open_bank,
)
from .subset import (
    Subset as Subset,
)
