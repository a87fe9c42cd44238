"""From the outside world to the nodes: files, streams and generated records.

The idea: whatever a file or message calls its columns, however it writes a time and whatever it
means by a zero, it becomes the same columns (`sensor, time, lon, lat`, then values) before
anything else looks at it. Promises:

1. Every row of a file is stored, or counted under one reason with its original text: nothing
   disappears between a file and its summary.
2. A file that cannot be read is one line of the summary; the files after it are loaded.
3. Loading the same file again changes nothing: identity comes from the content (sensor, time,
   position), never from the file's name or the moment of loading.
4. Memory is bounded by the batch, not by the file (formats that are one JSON document are
   limited in size instead).
5. A message of a stream is acknowledged when its records are on disk or it is a dead letter;
   delivered again it changes nothing.

Files, from the ground up: `errors`; `amedas` (the tables of Japan's weather stations that come
with the package); `formats` (bytes to columns, pure); `generate` (seeded records without any
file); `messages` (bodies of messages to checked records, many at once); `sources` (where messages
come from).
Files to nodes: `sender` (batches on their way while the next ones are decoded), `rejects`,
`recording`, `loading` (every row accounted for), `summary`, `files` (its command).
Streams to nodes: `durable` (small files, whole or not at all), `storing` (one batch, whatever the
nodes answer), `provenance`, `deadletters`, `account`, `pump`; `stream_settings`, `running`,
`live_line`, `metrics`, `retrying`, `audit` and `commands` make services of pumps.

What it does not do: it keeps no list of files that were loaded, fetches files from nowhere, and
knows no schema registry.
"""
