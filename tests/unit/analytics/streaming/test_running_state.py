"""The running mean and spread of one sensor: what is learned, what is reported."""

import numpy as np

from analytics.streaming.anomalies import LEARNING, MEMORY, Running


def taught(values: np.ndarray, limit: float = 6.0) -> Running:
    running = Running()
    for value in values:
        running.take(float(value), limit=limit)
    return running


def test_mean_and_spread_are_those_of_the_values() -> None:
    values = np.random.default_rng(1).normal(20.0, 2.0, 100)
    running = taught(values)
    assert abs(running.mean - values.mean()) < 0.1
    assert abs(running.deviation - values.std()) < 0.2


def test_nothing_is_reported_while_learning() -> None:
    running = taught(np.full(LEARNING - 1, 20.0))
    assert running.score(900.0) == 0.0
    running.take(20.0, limit=6.0)
    assert running.score(900.0) > 100


def test_a_spike_does_not_teach_that_it_is_usual() -> None:
    calm = np.random.default_rng(2).normal(20.0, 1.0, 100)
    running = taught(np.concatenate([calm, [5_000.0]]))
    assert abs(running.score(60.0)) > 20


def test_old_values_fade() -> None:
    running = taught(np.concatenate([np.full(300, 0.0), np.linspace(0.0, 30.0, 40 * MEMORY)]))
    assert running.count == MEMORY
    assert abs(running.score(30.0)) < 6
