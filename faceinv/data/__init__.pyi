from .images import (
    SUFFIXES as SUFFIXES,
    decode_image as decode_image,
    read_image as read_image,
    to_bytes as to_bytes,
    write_image as write_image,
)
from .labels import (
    has_images as has_images,
    match_images as match_images,
    read_labels as read_labels,
)
from .opening import (
    open_dataset as open_dataset,
)
from .splits import (
    check_disjoint as check_disjoint,
    hashed_splits as hashed_splits,
)
