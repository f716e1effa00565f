from .statistics import (
    estimate as estimate,
    wilson as wilson,
)
