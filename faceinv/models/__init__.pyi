from .folding import (
    affine_of as affine_of,
    fold_norm as fold_norm,
    fold_norm_before as fold_norm_before,
)
from .loader import (
    FramedEncoder as FramedEncoder,
    Loader as Loader,
)
from .onnx.network import (
    OnnxNetwork as OnnxNetwork,
    onnx_network as onnx_network,
)
from .prelu import (
    FrozenPReLU as FrozenPReLU,
)
