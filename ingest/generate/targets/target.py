"""What every target is to the generator, and the table of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from ingest.errors import SettingsInvalid, SourceRefused
from ingest.generate.payloads import Message


@dataclass(frozen=True, slots=True)
class Place:
    """Where a target is, as the command was told; each kind takes what it needs.

    Attributes:
        address: `HOST:PORT` of a broker or listener; Kafka takes several with commas.
        topic: of Kafka or MQTT (`{sensor}` stands for the sensor), or Fluentd's tag.
        output: a file.
        collection, level: of a cluster: where records go, and on how many disks (`w`).
        connection: of a cluster: what `node.cli.options.connect` takes.
        options: further settings of the client by their own names.
    """

    address: str | None = None
    topic: str | None = None
    output: Path | None = None
    collection: str = "amedas"
    level: str = "one"
    connection: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)

    def need(self, name: str, kind: str) -> Any:
        """A setting that a kind cannot do without.

        Raises:
            SettingsInvalid: it was not given.
        """
        value = getattr(self, name)
        if value is None:
            raise SettingsInvalid(f"--to {kind} needs --{name}")
        return value


class MessageTarget(Protocol):
    """Takes messages. One thread calls; `send` waits where the target is slow.

    Attributes:
        delivered: messages confirmed so far.
        failed: reason → messages that were given up.
    """

    delivered: int
    failed: Counter[str]

    def open(self) -> None:
        """Connect, within seconds.

        Raises:
            SourceRefused, SettingsInvalid: it will not work until a person changes something.
        """
        ...

    def send(self, messages: Sequence[Message]) -> None:
        """Hand them over, in order."""
        ...

    def finish(self) -> None:
        """Wait until all are confirmed or given up, and let go; called once, also after errors."""
        ...


class ColumnTarget(Protocol):
    """Takes records as columns. One thread calls; `send` waits where the target is slow.

    Attributes:
        delivered: records that are durable.
        failed: reason → records that were refused.
    """

    delivered: int
    failed: Counter[str]

    def open(self) -> None:
        """As of messages."""
        ...

    def send(self, batch: pa.RecordBatch) -> None:
        """Hand a batch over."""
        ...

    def finish(self) -> None:
        """As of messages."""
        ...


@dataclass(frozen=True, slots=True)
class TargetKind:
    """One kind: `module:Class` made with a `Place`; whether it takes messages; what to install."""

    target: str
    takes_messages: bool
    needs: str = "zring"


TARGETS: Mapping[str, TargetKind] = {
    "file": TargetKind("ingest.generate.targets.file:FileTarget", takes_messages=False),
    "fluentd": TargetKind("ingest.generate.targets.fluentd:FluentdTarget", takes_messages=True),
    "http": TargetKind("ingest.generate.targets.http:HttpTarget", takes_messages=False),
    "kafka": TargetKind(
        "ingest.generate.targets.kafka:KafkaTarget", takes_messages=True, needs="zring[streams]"
    ),
    "mqtt": TargetKind(
        "ingest.generate.targets.mqtt:MqttTarget", takes_messages=True, needs="zring[streams]"
    ),
}


def make_target(kind: str, place: Place) -> Any:
    """A `MessageTarget` or a `ColumnTarget` that is not open yet.

    Raises:
        SourceRefused: its library is not installed.
        SettingsInvalid: it lacks a setting.
    """
    entry = TARGETS[kind]
    module, _, name = entry.target.partition(":")
    try:
        return getattr(import_module(module), name)(place)
    except ModuleNotFoundError as error:
        raise SourceRefused(
            f"--to {kind} needs the module {error.name}; "
            f"install {entry.needs} (pip install '{entry.needs}')"
        ) from None
