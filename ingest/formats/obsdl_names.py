"""Japanese labels of JMA's downloads and the element keys they become.

A label that is not in the tables is kept as the value's name: nothing measured is lost because
nobody had thought of it.
"""

from collections.abc import Mapping

HOURLY: Mapping[str, str] = {
    "気温": "temp",
    "降水量": "precipitation1h",
    "降雪": "snow1h",
    "積雪": "snow",
    "日照時間": "sun1h",
    "風速": "wind",
    "日射量": "solar1h",
    "現地気圧": "pressure",
    "海面気圧": "normalPressure",
    "相対湿度": "humidity",
    "蒸気圧": "vapourPressure",
    "露点温度": "dewPoint",
    "天気": "weatherText",
    "雲量": "cloud",
    "視程": "visibilityKm",
}
DAILY: Mapping[str, str] = {
    "平均気温": "meanTemp",
    "最高気温": "maxTemp",
    "最低気温": "minTemp",
    "降水量の合計": "precipitationSum",
    "1時間降水量の最大": "maxPrecipitation1h",
    "10分間降水量の最大": "maxPrecipitation10m",
    "日照時間": "sunSum",
    "合計全天日射量": "solarSum",
    "最深積雪": "maxSnow",
    "降雪量合計": "snowSum",
    "平均風速": "meanWind",
    "最大風速": "maxWind",
    "最大瞬間風速": "maxGust",
    "平均湿度": "meanHumidity",
    "平均相対湿度": "meanHumidity",
    "最小相対湿度": "minHumidity",
    "平均蒸気圧": "meanVapourPressure",
    "平均現地気圧": "meanPressure",
    "平均海面気圧": "meanNormalPressure",
    "最低海面気圧": "minNormalPressure",
    "平均雲量": "meanCloud",
}
_POINTS = (
    "静穏 北北東 北東 東北東 東 東南東 南東 南南東 南 南南西 南西 西南西 西 西北西 北西 北北西 北"
)
DIRECTION_CODES: Mapping[str, int] = {name: code for code, name in enumerate(_POINTS.split())}
"""JMA's codes as in its JSON files: 0 calm, 1 NNE … 16 N."""


def element_key(label: str, *, hourly: bool) -> str:
    """The value's name for a label without unit."""
    return (HOURLY if hourly else DAILY).get(label, label)
