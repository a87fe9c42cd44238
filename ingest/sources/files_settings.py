"""`[source.files]`: which files are read, and how."""

from dataclasses import dataclass
from pathlib import Path

from ingest.errors import SettingsInvalid


@dataclass(frozen=True, slots=True)
class FilesSettings:
    """`[source.files]`.

    Attributes:
        paths: files, folders or patterns (`/var/log/sensors/*.ndjson`); of a folder all files
            that do not begin with a point.
        position: file that keeps how far each is done; default: `<source>.position.json`.
        follow: wait for more; false ends when all that is there was read.
        unit: `line`, or `file`: each file of the folders in `paths` is one message, named by its
            key (`ingest.sources.whole_files`).
        header: each message is its line below the first line of its file, as CSV needs it;
            default: for .csv and .tsv.
    """

    paths: tuple[str, ...]
    position: Path | None = None
    follow: bool = True
    unit: str = "line"
    header: bool | None = None

    def __post_init__(self) -> None:
        if self.unit not in ("line", "file"):
            raise SettingsInvalid(f"[source.files] unit = {self.unit!r}; use line or file")
