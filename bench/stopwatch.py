"""Repeated timing: rounds of all contenders alternate, medians count."""

import time
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def alternate(
    contenders: Mapping[str, Callable[[], object]], *, rounds: int, warmup: int = 2
) -> dict[str, Floats]:
    """Call each in turn, round after round.

    Returns:
        name → float64[rounds], seconds of each call after the warm-up.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(warmup + rounds):
        for name, call in contenders.items():
            started = time.perf_counter()
            call()
            if turn >= warmup:
                seconds[name].append(time.perf_counter() - started)
    return {name: np.array(values) for name, values in seconds.items()}


def median_ms(seconds: Floats) -> float:
    """Milliseconds, rounded to what the clock and the machine can tell."""
    return round(float(np.median(seconds)) * 1e3, 3)


def percentile_ms(seconds: Floats, percent: float) -> float:
    """Milliseconds below which that share of the calls stayed."""
    return round(float(np.percentile(seconds, percent)) * 1e3, 3)
