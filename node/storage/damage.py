"""What becomes of a damaged store: it is noted, said, and set aside at the next start.

Damaged bytes are never served, and what else the store holds may be damaged as well, so a node
does not go on with it: it ends, and starts again with an empty store that the other nodes fill.
The damaged one is kept for people to look at.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from node.errors import StoreDamaged

NOTE_NAME = "store.damaged"
STORE_FILES = ("data.mdb", "lock.mdb", NOTE_NAME)
NOTE_BYTES_MAX = 4_096
"""A message is one line; a note that is longer is not ours."""
OnDamage = Callable[[StoreDamaged], None]

log = logging.getLogger("zring.store")


def ignore_damage(error: StoreDamaged) -> None:
    """For stores whose owner looks at errors itself."""


class DamageNote:
    """Notes the first damage that is found in an open store; from any thread.

    Args:
        on_damage: told once, on the thread that found it; the node ends then.
    """

    def __init__(self, folder: Path, on_damage: OnDamage) -> None:
        self._path = folder / NOTE_NAME
        self._on_damage = on_damage
        self._is_noted = False

    def read(self) -> str | None:
        """What a former life has noted; None when there is nothing."""
        if not self._path.exists():
            return None
        text = self._path.read_bytes()[:NOTE_BYTES_MAX].decode(errors="replace").strip()
        return text or "damage was found"

    def write(self, error: StoreDamaged) -> None:
        """Leave the note for the next start and tell the node."""
        if self._is_noted:
            return
        self._is_noted = True
        log.error("the store is damaged, and the next start sets it aside: %s", error)
        try:
            with self._path.open("wb") as file:
                file.write(str(error).encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as failure:
            # The damage will be found again; what counts now is that the node ends.
            log.error("%s cannot be written: %s", self._path, failure)
        self._on_damage(error)


def set_aside(folder: Path, error: StoreDamaged) -> Path:
    """Move a damaged store out of its folder and say so; returns where it is now.

    Args:
        folder: of a store that is not open; its lock is held and stays.
    """
    target = _made_beside(folder)
    for name in STORE_FILES:
        if (folder / name).exists():
            (folder / name).replace(target / name)
    log.critical(
        "THE STORE IN %s IS DAMAGED (%s). It is now in %s; this node begins with an empty store, "
        "which the other nodes fill. Records that only this node had are in the damaged store "
        "alone. Check the disk; delete %s when nobody needs it.",
        folder,
        error,
        target,
        target,
    )
    return target


@dataclass(frozen=True, slots=True)
class SetAside:
    """A damaged store that still lies beside its folder.

    Attributes:
        since_us: when it was set aside, as the file system says.
    """

    path: Path
    size_bytes: int
    since_us: int


def stores_set_aside(folder: Path) -> list[SetAside]:
    """Where damaged stores of a folder were set aside and still lie, sorted.

    Blocks for as long as listing some folders takes.
    """
    folder = folder.resolve()
    return [_look(path) for path in _folders_beside(folder)]


def _look(path: Path) -> SetAside:
    sizes = [file.stat() for file in path.iterdir()]
    size = sum(found.st_blocks * 512 for found in sizes)  # the map is a file with holes
    return SetAside(path, size, path.stat().st_mtime_ns // 1_000)


def _folders_beside(folder: Path) -> list[Path]:
    return sorted(
        path
        for parent in (folder.parent, folder)
        for path in parent.glob(f"{folder.name}-damaged-*")
        if path.is_dir()
    )


def _made_beside(folder: Path) -> Path:
    """A new folder beside this one; inside it where none can be made beside it."""
    folder = folder.resolve()
    taken = {path.name for parent in (folder.parent, folder) for path in parent.iterdir()}
    number = 1
    while f"{folder.name}-damaged-{number}" in taken:
        number += 1
    name = f"{folder.name}-damaged-{number}"
    beside, inside = folder.parent / name, folder / name
    try:
        beside.mkdir()
    except OSError:
        pass
    else:
        if beside.stat().st_dev == folder.stat().st_dev:
            return beside
        beside.rmdir()  # the folder is a disk of its own, and the store stays on it
    inside.mkdir()
    return inside
