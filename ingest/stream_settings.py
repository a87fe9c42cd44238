"""The TOML file of an ingest service: which cluster, and one `[[source]]` table for each source."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from ingest.deadletters import DeadLetterFile, DeadLetterSink
from ingest.errors import IngestError, SettingsInvalid
from ingest.formats import Context
from ingest.formats.column_mapping import ColumnMapping
from ingest.formats.station_table import StationTable, read_station_table
from ingest.messages import FORMATS
from ingest.messages.decoder import MESSAGE_BYTES_MAX
from ingest.sources.kinds import make_topic_letters, settings_type
from ingest.sources.settings import table_to_settings
from node.cli.settings import SECTIONS
from node.query import WriteLevel
from node.records import COLLECTION_NAME_BYTES_MAX

DEAD_LETTERS = "dead-letters.ndjson"
TOPIC = "topic:"
SOURCES_MAX = 64
_LEVELS = get_args(WriteLevel)


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """One `[[source]]`.

    Attributes:
        name: part of metrics, dead letters and the metadata of records; unique in the file.
        kind: one of `ingest.sources.kinds.KINDS`.
        source: the settings of that kind.
        collection: where records go.
        format: one of `ingest.messages.FORMATS`.
        w: nodes that must have a record on disk before its message is acknowledged.
        dead_letters: path of a file, or `topic:NAME` on the source's own broker.
        stations: table with the positions of sensors that send none.
        message_bytes_max: larger messages become dead letters.
        mapping: names, times, zones and types.
    """

    name: str
    kind: str
    source: Any
    collection: str
    format: str = "json"
    w: WriteLevel = "one"
    dead_letters: str = DEAD_LETTERS
    stations: Path | None = None
    message_bytes_max: int = MESSAGE_BYTES_MAX
    mapping: ColumnMapping = field(default_factory=ColumnMapping)

    def __post_init__(self) -> None:
        where = f"source {self.name!r}"
        if not self.name or not self.name.isprintable():
            raise SettingsInvalid(f"{where}: name is empty or not printable")
        size = len(self.collection.encode())
        if not 1 <= size <= COLLECTION_NAME_BYTES_MAX or not self.collection.isprintable():
            raise SettingsInvalid(
                f"{where}: collection = {self.collection!r} is no printable name of at most "
                f"{COLLECTION_NAME_BYTES_MAX} bytes"
            )
        if self.format not in FORMATS:
            raise SettingsInvalid(
                f"{where}: format = {self.format!r} is unknown; use {', '.join(FORMATS)}"
            )
        if self.w not in _LEVELS:
            raise SettingsInvalid(f"{where}: w = {self.w!r}; use {', '.join(_LEVELS)}")
        if self.message_bytes_max < 1:
            raise SettingsInvalid(f"{where}: message_bytes_max = {self.message_bytes_max} < 1")

    def context(self) -> Context:
        """What the decoder may know besides the messages.

        Raises:
            IngestError: the station table cannot be read.
        """
        if self.stations is None:
            return Context(stations=StationTable.of_square(), mapping=self.mapping)
        try:
            data = self.stations.read_bytes()
        except OSError as error:
            raise SettingsInvalid(
                f"source {self.name!r}: stations {self.stations}: {error.strerror}"
            ) from None
        return Context(stations=read_station_table(data), mapping=self.mapping)

    def letters(self) -> DeadLetterSink:
        """Where its dead letters go.

        Raises:
            IngestError: a topic that cannot be used.
        """
        if self.dead_letters.startswith(TOPIC):
            topic = self.dead_letters.removeprefix(TOPIC)
            return make_topic_letters(self.kind, self.source, topic)
        return DeadLetterFile(Path(self.dead_letters))


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """The whole file.

    Attributes:
        sources: at least one.
        connection: `url`, `token`, `tls_ca`, `tls_cert`, `tls_key` as far as the file has them.
        metrics_listen: HOST:PORT of the metrics, if any.
    """

    sources: tuple[StreamSettings, ...]
    connection: Mapping[str, str] = field(default_factory=dict)
    metrics_listen: str | None = None

    def one(self, name: str) -> StreamSettings:
        """The source of a name.

        Raises:
            SettingsInvalid: there is none.
        """
        for settings in self.sources:
            if settings.name == name:
                return settings
        names = ", ".join(settings.name for settings in self.sources)
        raise SettingsInvalid(f"the file has no source {name!r}, only {names}")


_CONNECTION = ("url", "token", "tls_ca", "tls_cert", "tls_key")
_PLAIN = ("name", "kind", "collection", "format", "w", "dead_letters", "stations",
          "message_bytes_max")  # fmt: skip


def read_ingest_settings(path: Path) -> IngestSettings:
    """Read a file; relative paths in it are relative to the working directory.

    Raises:
        SettingsInvalid: the message names the table, the setting and what it may be.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsInvalid(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"{path} is no TOML: {error}") from None
    # A node's own sections may stand in the same file: `zring serve` carries its sources, too.
    return tables_to_settings({name: document[name] for name in document if name not in SECTIONS})


def tables_to_settings(document: Mapping[str, Any]) -> IngestSettings:
    """The same from parsed TOML, of which other programs may have taken their own tables.

    Raises:
        SettingsInvalid: as `read_ingest_settings`.
    """
    known = {*_CONNECTION, "metrics_listen", "source"}
    for name, value in document.items():
        if name not in known:
            raise SettingsInvalid(f"setting {name!r} is unknown; use {', '.join(sorted(known))}")
        if name != "source" and not isinstance(value, str):
            raise SettingsInvalid(f"{name} = {value!r} is no text")
    tables = document.get("source")
    if not isinstance(tables, list) or not 1 <= len(tables) <= SOURCES_MAX:
        raise SettingsInvalid(f"the file needs one to {SOURCES_MAX} [[source]] tables")
    sources = tuple(_source(table, at) for at, table in enumerate(tables, 1))
    names = [source.name for source in sources]
    for name in names:
        if names.count(name) > 1:
            raise SettingsInvalid(f"two sources are called {name!r}; give each its own name")
    connection = {name: document[name] for name in _CONNECTION if name in document}
    return IngestSettings(sources, connection, document.get("metrics_listen"))


def _source(table: Any, at: int) -> StreamSettings:
    where = f"[[source]] number {at}"
    if not isinstance(table, dict):
        raise SettingsInvalid(f"{where} is no table")
    kind = table.get("kind")
    if not isinstance(kind, str):
        raise SettingsInvalid(f"{where} needs `kind`")
    own = settings_type(kind)
    for name in table:
        if name not in (*_PLAIN, "mapping", kind):
            raise SettingsInvalid(
                f"{where} has no setting {name!r}; use {', '.join(_PLAIN)}, "
                f"[source.mapping], [source.{kind}]"
            )
    mapping = table.get("mapping", {})
    if not isinstance(mapping, dict):
        raise SettingsInvalid(f"{where}: mapping is no table")
    plain = {name: table[name] for name in _PLAIN if name in table}
    try:
        read = table_to_settings(_Plain, plain, where=where)
        return StreamSettings(
            source=table_to_settings(own, table.get(kind, {}), where=f"[source.{kind}]"),
            mapping=ColumnMapping.from_table(mapping),
            **{name: getattr(read, name) for name in plain},
        )
    except SettingsInvalid:
        raise
    except IngestError as error:
        raise SettingsInvalid(f"{where}: {error}") from None


@dataclass(frozen=True, slots=True)
class _Plain:
    """The types of the settings that every source has."""

    name: str
    kind: str
    collection: str
    format: str = "json"
    w: str = "one"
    dead_letters: str = ""
    stations: Path | None = None
    message_bytes_max: int = 0
