from .formats.opening import (
    check_count as check_count,
    opened as opened,
)
from .formats.pickle import (
    Budget as Budget,
    Builder as Builder,
    ignore as ignore,
    interpret as interpret,
)
from .formats.state_dict import (
    NESTS as NESTS,
    TensorsError as TensorsError,
    check_values as check_values,
    load_strictly as load_strictly,
    read_tensors as read_tensors,
    save_tensors as save_tensors,
)
from .formats.torch_file import (
    STREAM_HEAD as STREAM_HEAD,
    TENSOR_BUILDERS as TENSOR_BUILDERS,
    StoredTensor as StoredTensor,
    empty_dictionary as empty_dictionary,
    load_from_bytes as load_from_bytes,
    read_archive as read_archive,
    read_stream as read_stream,
)
from .store import (
    WeightStore as WeightStore,
)
