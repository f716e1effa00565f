from .folding import (
    affine_of as affine_of,
    fold_norm as fold_norm,
    fold_norm_before as fold_norm_before,
)
from .frozen import (
    freeze as freeze,
)
from .loader import (
    FramedEncoder as FramedEncoder,
    Loader as Loader,
)
