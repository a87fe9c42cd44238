"""Temperature of a station in one, three and six hours, from it and what stands around it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from analytics.models import nowcast_features as features
from analytics.models.committee import Committee, committee_of
from analytics.models.errors import ModelUnsuited
from analytics.models.grid import HOUR_US, Float64s, Grid, Places, grid_of
from analytics.models.network import Float32s
from analytics.models.nowcast_features import Scene, features_at, scene_of
from analytics.models.saved import SavedModel
from node.codec.times import times_to_texts

NAME = "nowcast"
HISTORY_US = (features.HISTORY_H + 2) * HOUR_US
"""What must be read before the first hour that is forecast from: a day, and a gap at its edge."""
MARGIN_KM = 330.0
"""How far around an area its weather is looked at."""
LEAD_H_MAX = 12
HOURS_AT_ONCE = 48


@dataclass(frozen=True, slots=True)
class NowcastSettings:
    """Which values are read, and how far ahead is looked.

    Attributes:
        temperature, rain: names of values: °C, and mm in the hour before.
        leads_h: hours ahead.
    """

    temperature: str = "temp"
    rain: str = "precipitation1h"
    leads_h: tuple[int, ...] = (1, 3, 6)

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> "NowcastSettings":
        """The settings in a saved model.

        Raises:
            ModelUnsuited: they are not those of this version.
        """
        leads = given.get("leads_h")
        names = (given.get("temperature"), given.get("rain"))
        if (
            given.keys() != set(cls.__slots__)
            or not all(type(name) is str for name in names)
            or not isinstance(leads, list)
            or not all(type(lead) is int and 1 <= lead <= LEAD_H_MAX for lead in leads)
        ):
            raise ModelUnsuited(f"settings {dict(given)!r} are none of a {NAME}")
        return cls(str(names[0]), str(names[1]), tuple(leads))


@dataclass(frozen=True, slots=True)
class Nowcast:
    """A trained nowcast; fulfils `Task`."""

    settings: NowcastSettings
    committee: Committee
    spread: Float32s
    digest: str

    history_us = HISTORY_US
    step_us = HOUR_US
    margin_km = MARGIN_KM
    into = "nowcast"

    @classmethod
    def of(cls, saved: SavedModel, digest: str) -> "Nowcast":
        """The nowcast in a saved model.

        Raises:
            ModelUnsuited: it is another task's, or not of this version or form.
        """
        settings = NowcastSettings.from_json(saved.settings)
        spread = saved.arrays.get("outputs/spread", np.empty(0, np.float32))
        wanted = (features.COUNT,), (len(settings.leads_h),)
        if (saved.architecture.inputs, saved.architecture.outputs) != wanted or (
            spread.shape != wanted[1]
        ):
            raise ModelUnsuited(
                f"inputs {saved.architecture.inputs} and outputs {saved.architecture.outputs} "
                f"are not {wanted[0]} and {wanted[1]}"
            )
        return cls(settings, committee_of(saved), spread, digest)

    @property
    def columns(self) -> tuple[str, ...]:
        """Values that are read."""
        return (self.settings.temperature, self.settings.rain)

    def changes(self, inputs: Float32s) -> Float32s:
        """float32[n, leads]: how much warmer it will be, for float32[n, COUNT]."""
        return self.committee.predict(inputs) * self.spread

    def result_schema(self) -> pa.Schema:
        """Columns of results."""
        return pa.schema(
            [
                ("sensor", pa.string()),
                ("time", pa.timestamp("us", tz="UTC")),
                ("lon", pa.float64()),
                ("lat", pa.float64()),
                (self.settings.temperature, pa.float64()),
                ("lead_h", pa.int64()),
                ("station", pa.string()),
                ("issued", pa.string()),
                ("model", pa.string()),
            ]
        )

    def infer(self, records: pa.Table, *, start_us: int, stop_us: int) -> pa.Table:
        """Forecasts made at the full hours in [start_us, stop_us), as records.

        Args:
            records: of the time from `history_us` before, and of the area with its margin.
        Returns:
            columns sensor, time (for which it is said), lon, lat and the values; one sensor per
            station and lead, `65042+3h`, so that forecasts of one time from different hours are
            different records.
        """
        grid = self.grid(records, start_us=start_us - HISTORY_US, stop_us=stop_us)
        scene = scene_of(grid, temperature=self.settings.temperature, rain=self.settings.rain)
        hours = np.arange(max(grid.index_of(start_us), 0), grid.times)
        parts = [
            self._forecasts(scene, hours[start : start + HOURS_AT_ONCE])
            for start in range(0, len(hours), HOURS_AT_ONCE)
        ]
        return pa.concat_tables(parts or [self._forecasts(scene, hours)])

    def grid(self, records: pa.Table, *, start_us: int, stop_us: int) -> Grid:
        """What the records say on the full hours."""
        return grid_of(records, self.columns, start_us=start_us, stop_us=stop_us)

    def _forecasts(self, scene: Scene, hours: Places) -> pa.Table:
        inputs, enough = features_at(scene, hours)
        station, column = np.nonzero(enough)
        changes = self.changes(inputs[enough])
        now = scene.observed[station, hours[column]]
        issued_us = scene.grid.time_us(hours[column])
        names = np.array(scene.grid.sensors, object)[station]
        tables = []
        for place, lead in enumerate(self.settings.leads_h):
            columns = [
                pa.array(names + f"+{lead}h", pa.string()),
                pa.array(issued_us + lead * HOUR_US).view(pa.timestamp("us", tz="UTC")),
                pa.array(scene.grid.lon[station]),
                pa.array(scene.grid.lat[station]),
                pa.array(_tenths(now + changes[:, place])),
                pa.repeat(lead, len(station)).cast(pa.int64()),
                pa.array(names, pa.string()),
                times_to_texts(issued_us),
                pa.repeat(self.digest, len(station)),
            ]
            tables.append(pa.table(columns, schema=self.result_schema()))
        return pa.concat_tables(tables)


def _tenths(temperature: Float32s) -> Float64s:
    """As thermometers are read; also what makes the same forecast the same record on any
    processor, but for values that lie between two tenths to the last bit."""
    return np.rint(temperature.astype(np.float64) * 10) / 10
