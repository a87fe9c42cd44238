"""The HTTP door for people and programs: OGC API - Features, and what sensors need besides.

A request passes one middleware (`edge`), one row of the table of routes (`routes`) and one
handler; a handler reads its parameters from the table in `parameters`, asks the service one
question and hands the answer to a format. OpenAPI (`openapi`) is made from the same two tables.

Promises:

1. Every error, aiohttp's own and broken HTTP included, is one problem document (RFC 9457) whose
   words name the thing, the value, the limit and the way out (`problems`, `server`).
2. An unknown, repeated or unreadable parameter is refused, never ignored.
3. Every answer with rows says how complete it is (`coverage`); a stream that gets worse is cut.
4. A cursor continues exactly its own question (`cursors`).
5. A client that leaves takes its query with it: the handler is cancelled, and with it the work
   on all nodes (`server`).
6. A small Arrow query costs the door some 100 µs besides the service and aiohttp: one middleware,
   no schema, no copies.

What it does not do: it knows no ring rules, no disk and no peers; it never decides what a record
is (`node.codec` does); it has no sessions.

Sources: OGC 17-069r4 (API - Features, part 1), RFC 9457 (problems), RFC 8288 (links), CQL2.
"""
