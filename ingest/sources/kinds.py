"""The kinds of sources by name; a kind's own library is imported only when it is asked for."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ingest.deadletters import DeadLetterSink
from ingest.errors import SettingsInvalid, SourceRefused
from ingest.sources.source import Extent, Source


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind is made.

    Attributes:
        settings: `module:Class` of its frozen settings; must import without the kind's library.
        source: `module:callable`, called with (name, settings); what it imports may be absent.
        needs: what to install when it is.
        letters: `module:callable` for `dead_letters = "topic:NAME"`, called with (the source's
            settings, NAME), gives a `DeadLetterSink`; empty where a kind has no topics.
        extents: `module:callable` for `zring ingest audit`, called with the source's settings:
            stream → `Extent`.
        dead: `module:callable` for the same, called with the settings and the NAME of a topic of
            dead letters: (source, stream, sequence) of each letter in it.
    """

    settings: str
    source: str
    needs: str = "zring"
    letters: str = ""
    extents: str = ""
    dead: str = ""


STREAMS = "zring[streams]"

KINDS: Mapping[str, Kind] = {
    "files": Kind(
        "ingest.sources.files_settings:FilesSettings", "ingest.sources.files:make_files_source"
    ),
    "fluentd": Kind(
        "ingest.sources.fluentd:FluentdSettings", "ingest.sources.fluentd:FluentdSource"
    ),
    "kafka": Kind(
        "ingest.sources.kafka_settings:KafkaSettings",
        "ingest.sources.kafka:make_kafka_source",
        STREAMS,
        letters="ingest.sources.kafka_letters:KafkaLetters",
        extents="ingest.sources.kafka_offsets:ask_extents",
        dead="ingest.sources.kafka_offsets:letters_of_topic",
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
    made: Source = _made(kind, _kind(kind).source, name, settings)
    return made


def make_topic_letters(kind: str, settings: Any, topic: str) -> DeadLetterSink:
    """A sink of dead letters on the broker of a source.

    Raises:
        SettingsInvalid: the kind has no topics.
        SourceRefused: its library is not installed, or the topic cannot be used.
    """
    place = _kind(kind).letters
    if not place:
        raise SettingsInvalid(
            f"dead_letters = 'topic:{topic}': a source of kind {kind!r} has no topics; give a path"
        )
    made: DeadLetterSink = _made(kind, place, settings, topic)
    return made


def stream_extents(kind: str, settings: Any) -> Mapping[str, Extent] | None:
    """What the broker of a source has, and how far it was acknowledged; None where none can say.

    Raises:
        SourceRefused: its library is not installed, or it does not answer.
    """
    place = _kind(kind).extents
    if not place:
        return None
    found: Mapping[str, Extent] = _made(kind, place, settings)
    return found


def topic_letters(kind: str, settings: Any, topic: str) -> Iterable[tuple[str, str, int]]:
    """Source, stream and sequence of each dead letter in a topic.

    Raises:
        SettingsInvalid: the kind has no topics.
        SourceRefused: its library is not installed, or the topic cannot be read.
    """
    place = _kind(kind).dead
    if not place:
        raise SettingsInvalid(f"a source of kind {kind!r} has no topics of dead letters")
    found: Iterable[tuple[str, str, int]] = _made(kind, place, settings, topic)
    return found


def _made(kind: str, place: str, *arguments: Any) -> Any:
    """Import what a place names and call it; a library may be imported as late as in the call."""
    try:
        return _load(place)(*arguments)
    except ModuleNotFoundError as error:
        needs = _kind(kind).needs
        raise SourceRefused(
            f"a source of kind {kind!r} needs the module {error.name}; "
            f"install {needs} (pip install '{needs}')"
        ) from None


def _kind(kind: str) -> Kind:
    if kind not in KINDS:
        raise SettingsInvalid(f"kind = {kind!r} is no kind of source; use {', '.join(KINDS)}")
    return KINDS[kind]


def _load(place: str) -> Callable[..., Any]:
    module, _, member = place.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), member)
    return found
