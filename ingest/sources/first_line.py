"""Secrets that stand in files of their own."""

from pathlib import Path

from ingest.errors import SourceRefused


def first_line(file: Path, *, setting: str) -> str:
    """The first line of a file, without its end.

    Raises:
        SourceRefused: it cannot be read, or the line is empty; names the setting.
    """
    try:
        line = file.read_text(encoding="utf-8").partition("\n")[0].strip()
    except OSError as error:
        raise SourceRefused(f"{setting}={file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SourceRefused(f"{setting}={file} is no text") from None
    if not line:
        raise SourceRefused(f"{setting}={file} is empty")
    return line
