"""Where messages come from: one file for each kind, all of one shape (`source.Source`).

The idea: a source hands out batches of messages and keeps what it handed out until it is told that
they are durable; how a protocol remembers that (offsets, acknowledgements, line numbers) stays in
its file. `kinds` is the table of what there is, `settings` reads a kind's settings; a kind's
library is imported when a source of it is made, never before. What a source does not do: look into
a message, store anything, or start before `open`.
"""

from ingest.sources.source import POLL_BYTES_MAX, POLL_MESSAGES_MAX, Lag, Messages, Source

__all__ = ["POLL_BYTES_MAX", "POLL_MESSAGES_MAX", "Lag", "Messages", "Source"]
