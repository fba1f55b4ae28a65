"""How long to wait before the next try: exponential, bounded, and jittered so that no herd forms."""

import random
from collections.abc import Callable


def backoff_seconds(
    failures: int,
    *,
    first: float = 1.0,
    limit: float = 60.0,
    uniform: Callable[[float, float], float] = random.uniform,
) -> float:
    """Return the wait after `failures` failures in a row (at least one), in seconds.

    The ceiling doubles from `first` up to `limit`; the wait is drawn from its upper half.
    """
    ceiling = min(limit, first * 2.0 ** min(failures - 1, 32))
    return uniform(ceiling / 2, ceiling)
