"""How high the sun stands: what the clock and the calendar mean at a place."""

import numpy as np
import numpy.typing as npt

from analytics.models.grid import DAY_US, Float64s
from analytics.models.network import Float32s

_DAYS_PER_YEAR = 365.2425
_DECLINATION = ((-0.399912, 0.070257), (-0.006758, 0.000907), (-0.002697, 0.00148))


def sun_sine(*, lon: Float64s, lat: Float64s, time_us: npt.NDArray[np.int64]) -> Float32s:
    """Sine of the sun's height above the horizon; arguments are broadcast.

    Without the equation of time: a quarter of an hour at most, the same every year.

    Source: J. W. Spencer, Fourier series representation of the position of the sun, 1971.
    """
    days = time_us / DAY_US
    # The epoch begins with a January.
    year = 2 * np.pi * (days % _DAYS_PER_YEAR) / _DAYS_PER_YEAR
    declination = np.full_like(year, 0.006918)
    for harmonic, (cosine, sine) in enumerate(_DECLINATION, start=1):
        declination += cosine * np.cos(harmonic * year) + sine * np.sin(harmonic * year)
    hour_angle = 2 * np.pi * (days % 1.0 - 0.5) + np.radians(lon)
    latitude = np.radians(lat)
    height = np.sin(latitude) * np.sin(declination)
    return (height + np.cos(latitude) * np.cos(declination) * np.cos(hour_angle)).astype(np.float32)
