"""The errors of bringing records in.

    IngestError
    ├── UnreadableFile       the bytes are not what the format says
    │   └── UnknownFormat    no format recognises the file
    ├── MappingNeeded        the input does not say something that only the user can say
    ├── SettingsInvalid      a setting of a source, its mapping or its dead letters is wrong
    ├── DeadLettersRefused   the place for dead letters takes none now
    ├── SourceRefused        a source that will not work until a person changes something
    └── SourceLost           a source that is away; it is tried again

Unreadable files and missing mappings stop one file, never the next one. Rows and messages that
are wrong by themselves are no errors: they are `Refused` (see `ingest.formats.part`) or a
`Refusal` (`ingest.messages`). Three answers as in `zring.errors`.
"""


class IngestError(Exception):
    """Root of the trouble that stops one input; the message says what to do about it."""

    retryable = False
    definite = True
    status = 422


class UnreadableFile(IngestError):
    """Raised by every decoder for bytes it cannot read as its format; check the file."""


class UnknownFormat(UnreadableFile):
    """Raised when no format recognises a file; name it with --format."""


class MappingNeeded(IngestError):
    """Raised when an input lacks names, positions, ids or a time; give them as it says."""


class SettingsInvalid(IngestError):
    """Raised for a setting that is unknown, absent or wrong; the message names it."""

    status = 400


class DeadLettersRefused(IngestError):
    """Raised when dead letters cannot be made durable; make room, the pump waits meanwhile."""

    retryable = True
    status = 507


class SourceRefused(IngestError):
    """Raised when a topic, broker or credential does not exist or a setting is wrong; change it."""


class SourceLost(IngestError):
    """Raised when the connection to a source is gone; poll again later, nothing is lost."""

    retryable = True
    status = 503
