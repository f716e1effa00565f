from .adam import (
    Adam as Adam,
)
from .engine import (
    invert as invert,
)
from .evolution import (
    Strategies as Strategies,
    by_evolution as by_evolution,
)
from .objective import (
    AttributeLoss as AttributeLoss,
    build_objective as build_objective,
)
from .recovery import (
    Spread as Spread,
    by_constraints as by_constraints,
    by_descent as by_descent,
    by_least_squares as by_least_squares,
    from_pairs as from_pairs,
    least_squares as least_squares,
)
from .search import (
    Best as Best,
    Convergence as Convergence,
    Noise as Noise,
    rows_of as rows_of,
    spread as spread,
)
