"""Bodies of messages to checked records: many small messages become one batch of columns.

The idea: a stream brings a record at a time, a store wants columns. So all messages of one poll
are decoded together: each body is parsed by its own (a broken one breaks nobody else), and from
there on everything is columns. Mapping, times, zones and station tables are those of files
(`ingest.formats`), the last check is the one of every door (`node.codec.columns`).

Promises:

1. Any bytes are decoded or refused with a reason and the message's index; nothing is raised.
2. What a record becomes depends on its message alone, never on the messages that happen to be
   decoded with it: redelivered in other company it is the same record, so it is stored once.
   (This is why texts are not guessed to be numbers by looking at a whole column, as importers of
   files do.)
3. A message with several records may be refused in part; what is good is stored.
4. Memory is bounded: bytes and records of a message have limits.

Files: `decoded` (what comes out), `payloads` (which messages can be read at all), `cells`
(parsed objects to columns), one file per format (`json_bodies`, `msgpack_bodies`, `csv_bodies`,
`arrow_bodies`, `fluentd_bodies`, `amedas_bodies`), `decoder` (chooses, maps, checks).

What it does not do: schemas kept elsewhere (Avro or Protobuf with a registry), encrypted or
compressed bodies (a broker's own compression is the source's matter).
"""

from ingest.messages.decoded import DecodedMessages, RecordPart, Refusal
from ingest.messages.decoder import FORMATS, MessageDecoder

__all__ = ["FORMATS", "DecodedMessages", "MessageDecoder", "RecordPart", "Refusal"]
