"""The errors of loading files.

    IngestError
    ├── UnreadableFile       the bytes are not what the format says
    │   └── UnknownFormat    no format recognises the file
    └── MappingNeeded        the file does not say something that only the user can say

Each stops one file, never the next one. Rows that are wrong by themselves are no errors: they
are `Refused` (see `ingest.formats.part`). Three answers as in `zring.errors`.
"""


class IngestError(Exception):
    """Root of the trouble that stops one file; the message says what to do about it."""

    retryable = False
    definite = True
    status = 422


class UnreadableFile(IngestError):
    """Raised by every decoder for bytes it cannot read as its format; check the file."""


class UnknownFormat(UnreadableFile):
    """Raised when no format recognises a file; name it with --format."""


class MappingNeeded(IngestError):
    """Raised when a file lacks names, positions, ids or a time; give them as the message says."""
