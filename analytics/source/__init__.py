"""The Spark data source `zring`: one task per owner and slice of time, Arrow all the way.

The idea: the driver asks any node for the ring and what the collection is known to hold, and cuts
the question into tasks: the codes of one owner, in one slice of time. A task asks that owner page
by page over HTTP and hands each page on to Spark as one Arrow batch. Conditions on place, time,
sensor and values become parameters of the question, so that a row that Spark would drop is never
sent; what cannot be said exactly stays with Spark.

Promises:

1. A read gives every matching record once. A node that dies in the middle is replaced by another
   from the key of the last row that was read; what is read is what one node would have answered.
2. An answer that may lack records fails the read where `require` says so, with areas and times
   named, and is logged as a warning otherwise; it is never taken for a whole one in silence.
3. A condition is taken over from Spark only where both mean the same for every stored value, and
   only where the caller says that the frame serves one query (`pushdown`): Spark 4.2 keeps one
   read plan for each `load()`, so a second query of the frame would get the rows of the first.
   Options of the read narrow every query alike.
4. No value fails a task: a column whose values differ in type is widened (number, then text of
   JSON), and what does not fit a type that the user gave is null.
5. A task holds two pages, however large its part is.
6. Writing again what a failed or repeated task has written changes nothing: identity decides.

Files, from the ground up: `options`, `cluster` (what the driver asks a node), `selection` and
`conditions` (what is asked of the nodes), `slices` (tasks), `pages` (one task's rows, whoever
answers), `coverage`, `fields` and `widening` (stored values as Spark's types), `reader`, `writer`,
`data_source`. Only the last four need Spark.

What it does not do: it reads no stream (a table that grows is read again by time), it aggregates
nothing at the nodes, and it never deletes: there is no overwriting. Spark's API for Python sources
does not tell which columns a query uses; the option `columns` or a schema does.
"""
