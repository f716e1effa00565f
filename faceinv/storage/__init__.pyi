from .cache import (
    cache_folder as cache_folder,
)
from .hashing import (
    file_sha256 as file_sha256,
    fingerprint as fingerprint,
    seed_of as seed_of,
)
from .regular import (
    open_regular as open_regular,
)
from .tensors import (
    load_or_make as load_or_make,
)
