"""Weather and models that several tests use."""

import pytest

from analytics.models.committee import Schedule
from analytics.models.grid import Grid
from analytics.models.nowcast_training import train_nowcast
from analytics.models.saved import SavedModel
from tests.analytics.models.weather import DAYS, hourly_grid

LEARNED_DAYS = 36


@pytest.fixture(scope="session")
def weather() -> Grid:
    """Some fifty stations over 48 days."""
    return hourly_grid()


@pytest.fixture(scope="session")
def nowcast_file(weather: Grid) -> SavedModel:
    """A small nowcast of the first 36 days, that has seen nothing of every fifth station."""
    assert LEARNED_DAYS < DAYS
    return train_nowcast(
        weather,
        stop_us=weather.start_us + LEARNED_DAYS * 24 * weather.step_us,
        unseen=range(0, len(weather.sensors), 5),
        schedule=Schedule(epochs=10, batch=512, step=3e-3),
        widths=(32, 32),
    )
