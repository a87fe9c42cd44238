"""How well faults are found: the model beside z-scores, which need no model."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from analytics.models.anomaly import Anomaly, Days, days_of, series_by_day
from analytics.models.grid import Grid, known_mean
from analytics.models.network import Float32s
from analytics.models.planted_faults import KINDS, Planted

SPREAD_MIN = np.float32(0.1)
"""As thermometers are read."""
Bools = npt.NDArray[np.bool_]


def judge_anomaly(model: Anomaly, planted: Planted) -> Mapping[str, Any]:
    """Precision and recall on planted faults.

    Returns:
        `area`: way of scoring → area under the precision-recall curve; `share`: of the days that
        are faulty, which is the area that drawing lots would have; at the model's own threshold
        `precision`, `recall`, and `found`: kind → recall.
    """
    days = days_of(planted.grid, model.element)
    kind = planted.kind[days.station, days.day]
    faulty = kind > 0
    scores = {"autoencoder": model.scores(days)}
    scores |= z_scores(planted.grid, model.element, days)
    odd = scores["autoencoder"] > model.threshold
    return {
        "station_days": len(kind),
        "share": round(float(faulty.mean()), 4),
        "area": {name: round(area_under(score, faulty), 3) for name, score in scores.items()},
        "precision": round(float(faulty[odd].mean()), 3) if odd.any() else 0.0,
        "recall": round(float(odd[faulty].mean()), 3),
        "found": {
            name: round(float(odd[kind == 1 + place].mean()), 3) for place, name in enumerate(KINDS)
        },
    }


def z_scores(grid: Grid, element: str, days: Days) -> dict[str, Float32s]:
    """The largest of the 24 |z| of each station-day, of two kinds.

    Returns:
        `z-score`: the station's value beside its others of that hour of the day; `z-score of the
        difference`: the same of what it differs from the stations around.
    """
    series, around = series_by_day(grid, element)
    compared = {"z-score": series, "z-score of the difference": series - around}
    return {name: _largest(values)[days.station, days.day] for name, values in compared.items()}


def _largest(values: Float32s) -> Float32s:
    """float32[stations, days] of float32[stations, days, hours]."""
    middle = known_mean(values, axis=1)[:, None]
    away = np.abs(values - middle)
    spread = np.sqrt(known_mean(np.square(away), axis=1))[:, None]
    return np.nan_to_num(away / np.maximum(spread, SPREAD_MIN)).max(axis=2)


def area_under(scores: Float32s, faulty: Bools) -> float:
    """Area under the precision-recall curve, as average precision: the mean of the precision at
    each fault that is found, the most suspicious day first."""
    if not faulty.any():
        return 0.0
    order = np.argsort(-scores, kind="stable")
    found = faulty[order]
    precision = np.cumsum(found) / np.arange(1, len(found) + 1)
    return float(precision[found].mean())
