from .checks import (
    Check as Check,
    CheckFailed as CheckFailed,
    NotApplicable as NotApplicable,
    Outcome as Outcome,
)
from .conformance import (
    checks_of as checks_of,
    run_checks as run_checks,
)
from .faces import (
    DrawnFaces as DrawnFaces,
    draw_faces as draw_faces,
)
from .kinds import (
    check_dataset as check_dataset,
    check_detector as check_detector,
    check_encoder as check_encoder,
    check_generator as check_generator,
    check_loss as check_loss,
    check_method as check_method,
    check_metric as check_metric,
    check_plugin as check_plugin,
    check_probe as check_probe,
    check_protection as check_protection,
    check_reporter as check_reporter,
)
from .parametrize import (
    parametrize_with_checks as parametrize_with_checks,
)
from .subjects import (
    PluginSubject as PluginSubject,
    Subject as Subject,
    subjects_of as subjects_of,
)
