from .contents import (
    combined as combined,
    content_fingerprint as content_fingerprint,
    digests as digests,
    file_state as file_state,
)
from .folders import (
    Listing as Listing,
    list_images as list_images,
    mark_made as mark_made,
    printable as printable,
)
from .images import (
    decode_image as decode_image,
    read_image as read_image,
    to_bytes as to_bytes,
    write_image as write_image,
)
from .labels import (
    Labels as Labels,
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
