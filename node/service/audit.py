"""The audit log: who did what to the cluster, and who was turned away.

One JSON object a line, appended to `audit/audit.jsonl` in the data folder:

    {"time", "node", "event", "subject", "remote", "outcome", "details"}

`event` is a short stable word (`plan.commit`, `call`, `refused.client`, `refused.peer`), `subject`
the name of the token or node, `remote` its address, `outcome` a word (`done`, `refused`, `failed`
or a status). A line is in the file before the reply goes out; it is not forced to the disk, so a
power cut may cost the last seconds. Old files are kept up to `FILES_MAX`; refusals are folded and
rationed, so that someone who knocks all day pushes nothing else out. A disk that takes no line is
logged and stops nothing.
"""

import logging
import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import orjson

from node.clock import Clock

log = logging.getLogger("zring.audit")
FOLDER = "audit"
FILE = "audit.jsonl"
FILE_BYTES_MAX = 8 << 20
"""Some 30,000 lines; then the next file is begun."""
FILES_MAX = 5
"""The newest ones that are kept: 40 MB at most, years of administration."""
LINE_BYTES_MAX = 4 << 10
"""A plan with many moves is named by its digest; longer details are cut."""
REFUSED = "refused"
"""The outcome that is folded and rationed."""
REPEAT_S = 60
"""The same refusal of the same subject is written again after this long, with its count."""
REFUSALS_PER_MINUTE_MAX = 60
REMEMBERED_MAX = 1_024
"""Refusals that are folded at the same time."""


class Audit(Protocol):
    """Where parts of a node say what was done; may be called from the event loop only."""

    def record(
        self,
        event: str,
        *,
        subject: str,
        remote: str,
        outcome: str,
        details: Mapping[str, object],
    ) -> None:
        """Write one line.

        Args:
            event: short stable word: `plan.commit`.
            subject: who: the name of a token or of a node.
            remote: from where; "" for this node itself.
            outcome: `done`, `refused`, `failed`, or a status.
            details: values that JSON can carry; never a secret.
        """


class NoAudit:
    """For nodes without a disk: simulations and tests."""

    def record(
        self,
        event: str,
        *,
        subject: str,
        remote: str,
        outcome: str,
        details: Mapping[str, object],
    ) -> None:
        """Keep nothing."""


class AuditFile:
    """`Audit` in the data folder.

    Args:
        data: the node's data folder.
        file_bytes_max: a file is ended when it has reached this size.
    """

    def __init__(
        self, data: Path, *, node: str, clock: Clock, file_bytes_max: int = FILE_BYTES_MAX
    ) -> None:
        self._folder = data / FOLDER
        self._node = node
        self._clock = clock
        self._file_bytes_max = file_bytes_max
        self._descriptor: int | None = None
        self._size = 0
        self._failed = False
        self._told: OrderedDict[tuple[str, str, str], tuple[int, int]] = OrderedDict()
        self._minute = 0
        self._in_minute = 0
        self._rationed = 0

    def record(
        self,
        event: str,
        *,
        subject: str,
        remote: str,
        outcome: str,
        details: Mapping[str, object],
    ) -> None:
        """Write one line; see `Audit`."""
        now_us = self._clock.now_us()
        more: dict[str, object] = {}
        if outcome == REFUSED:
            repeated = self._take_refusal((event, subject, remote), now_us // 1_000_000)
            if repeated is None:
                return
            more = {"repeated": repeated} if repeated else {}
            if self._rationed:
                more["left_out"], self._rationed = self._rationed, 0
        entry = {
            "time": datetime.fromtimestamp(now_us / 1e6, UTC).isoformat(timespec="milliseconds"),
            "node": self._node,
            "event": event,
            "subject": subject,
            "remote": remote,
            "outcome": outcome,
            "details": dict(details),
            **more,
        }
        try:
            self._append(_line(entry))
            self._failed = False
        except OSError as error:
            if not self._failed:
                log.error("the audit log at %s takes no lines: %s", self._folder, error)
            self._failed = True
            log.warning("not in the audit log: %s %s %s", event, subject, outcome)

    def close(self) -> None:
        """Close the file; a later record opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _append(self, line: bytes) -> None:
        if self._descriptor is not None and self._size + len(line) > self._file_bytes_max:
            self.close()
            self._rotate()
        if self._descriptor is None:
            self._open()
        assert self._descriptor is not None
        os.write(self._descriptor, line)
        self._size += len(line)

    def _open(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self._folder / FILE, flags, 0o600)
        self._size = os.fstat(self._descriptor).st_size
        if self._size:
            # The last line may have been cut by a crash; it ends here, and readers pass over it.
            os.write(self._descriptor, b"\n")
            self._size += 1

    def _rotate(self) -> None:
        names = [self._folder / name for name in _names()]
        for older, newer in pairwise(names):
            if newer.exists():
                newer.replace(older)

    def _take_refusal(self, key: tuple[str, str, str], now_s: int) -> int | None:
        """How often it was left out before; None to leave it out."""
        told_s, repeated = self._told.get(key, (None, 0))
        if told_s is not None and 0 <= now_s - told_s < REPEAT_S:
            self._told[key] = (told_s, repeated + 1)
            return None
        if self._minute != now_s // 60:
            self._minute, self._in_minute = now_s // 60, 0
        if self._in_minute >= REFUSALS_PER_MINUTE_MAX:
            self._rationed += 1
            return None
        self._in_minute += 1
        self._told[key] = (now_s, 0)
        self._told.move_to_end(key)
        if len(self._told) > REMEMBERED_MAX:
            self._told.popitem(last=False)
        return repeated


def read_audit(data: Path) -> Iterator[dict[str, Any]]:
    """All entries in a data folder, oldest first; lines that were cut are passed over.

    Raises:
        OSError: a file cannot be read.
    """
    for name in _names():
        file = data / FOLDER / name
        if not file.exists():
            continue
        with file.open("rb") as lines:
            for line in lines:
                try:
                    entry = orjson.loads(line)
                except orjson.JSONDecodeError:
                    continue
                if isinstance(entry, dict):
                    yield entry


def _names() -> list[str]:
    """File names, oldest first."""
    stem = FILE.partition(".")[0]
    return [f"{stem}.{number}.jsonl" for number in range(FILES_MAX - 1, 0, -1)] + [FILE]


def _line(entry: dict[str, Any]) -> bytes:
    line = orjson.dumps(entry, default=str, option=orjson.OPT_NON_STR_KEYS)
    if len(line) >= LINE_BYTES_MAX:
        shown = orjson.dumps(entry["details"], default=str, option=orjson.OPT_NON_STR_KEYS)
        text = shown[: LINE_BYTES_MAX // 4].decode("utf-8", "replace")
        cut = {"cut": text, "bytes": len(shown)}
        short = {
            name: value[:256] if isinstance(value, str) else value for name, value in entry.items()
        }
        line = orjson.dumps({**short, "details": cut})
    return line + b"\n"
