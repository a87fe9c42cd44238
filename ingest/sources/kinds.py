"""The kinds of sources by name; a kind's own library is imported only when it is asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ingest.errors import SettingsInvalid, SourceRefused
from ingest.sources.source import Source


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind is made.

    Attributes:
        settings: `module:Class` of its frozen settings; must import without the kind's library.
        source: `module:callable`, called with (name, settings); what it imports may be absent.
        needs: what to install when it is.
    """

    settings: str
    source: str
    needs: str = "zring"


STREAMS = "zring[streams]"

KINDS: Mapping[str, Kind] = {
    "files": Kind("ingest.sources.files:FilesSettings", "ingest.sources.files:FilesSource"),
    "fluentd": Kind(
        "ingest.sources.fluentd:FluentdSettings", "ingest.sources.fluentd:FluentdSource"
    ),
    "kafka": Kind(
        "ingest.sources.kafka_settings:KafkaSettings",
        "ingest.sources.kafka:make_kafka_source",
        STREAMS,
    ),
    "mqtt": Kind(
        "ingest.sources.mqtt_settings:MqttSettings", "ingest.sources.mqtt:MqttSource", STREAMS
    ),
    "zeromq": Kind(
        "ingest.sources.zeromq_settings:ZeromqSettings",
        "ingest.sources.zeromq:ZeromqSource",
        STREAMS,
    ),
}


def settings_type(kind: str) -> type[Any]:
    """The dataclass that `[source.<kind>]` of a TOML file holds.

    Raises:
        SettingsInvalid: no such kind.
    """
    return _load(_kind(kind).settings)  # type: ignore[return-value]  # a class is a callable


def make_source(kind: str, name: str, settings: Any) -> Source:
    """A source that is not open yet.

    Args:
        name: as in `Source.name`.
        settings: of `settings_type(kind)`.
    Raises:
        SettingsInvalid: no such kind.
        SourceRefused: its library is not installed.
    """
    entry = _kind(kind)
    try:
        made: Source = _load(entry.source)(name, settings)
    except ModuleNotFoundError as error:
        raise SourceRefused(
            f"a source of kind {kind!r} needs the module {error.name}; "
            f"install {entry.needs} (pip install '{entry.needs}')"
        ) from None
    return made


def _kind(kind: str) -> Kind:
    if kind not in KINDS:
        raise SettingsInvalid(f"kind = {kind!r} is no kind of source; use {', '.join(KINDS)}")
    return KINDS[kind]


def _load(place: str) -> Callable[..., Any]:
    module, _, member = place.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), member)
    return found
