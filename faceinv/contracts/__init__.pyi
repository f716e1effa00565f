from .data import (
    Dataset as Dataset,
    DatasetContext as DatasetContext,
)
from .losses import (
    Loss as Loss,
    LossContext as LossContext,
)
from .methods import (
    Candidate as Candidate,
    Encode as Encode,
    Inversion as Inversion,
    InversionTask as InversionTask,
    LearningMethod as LearningMethod,
    Method as Method,
    Objective as Objective,
    Score as Score,
    Training as Training,
)
from .metrics import (
    Comparison as Comparison,
    Metric as Metric,
)
from .networks import (
    Detector as Detector,
    Faces as Faces,
    Generator as Generator,
    check_images as check_images,
)
from .probes import (
    DerivedProbe as DerivedProbe,
    Probe as Probe,
    Recipe as Recipe,
)
from .progress import (
    Reporter as Reporter,
)
from .protection_specs import (
    THREATS as THREATS,
    ProtectionContext as ProtectionContext,
    ProtectionSpec as ProtectionSpec,
)
from .protections import (
    Attack as Attack,
    Leak as Leak,
    Protection as Protection,
    Recovered as Recovered,
    cosine_scores as cosine_scores,
    euclidean_scores as euclidean_scores,
    hamming_scores as hamming_scores,
)
from .protocols import (
    IdentityProtocol as IdentityProtocol,
    IdentityScores as IdentityScores,
    ProtocolScores as ProtocolScores,
    Rows as Rows,
    Threshold as Threshold,
    blocks as blocks,
)
from .reporting import (
    BatchFacts as BatchFacts,
    CellFacts as CellFacts,
    CellResult as CellResult,
    Picture as Picture,
    RunFacts as RunFacts,
    RunReporter as RunReporter,
)
from .specs import (
    PRESETS as PRESETS,
    DatasetSpec as DatasetSpec,
    DetectorSpec as DetectorSpec,
    EncoderSpec as EncoderSpec,
    Framing as Framing,
    GeneratorSpec as GeneratorSpec,
    LossSpec as LossSpec,
    MethodSpec as MethodSpec,
    MetricSpec as MetricSpec,
    Point as Point,
    ProbeSpec as ProbeSpec,
    ReporterSpec as ReporterSpec,
    Spec as Spec,
    WeightSourceSpec as WeightSourceSpec,
    WeightSpec as WeightSpec,
)
