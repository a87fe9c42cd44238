"""Rows to bytes and back: one file a format, used at every door (HTTP, peers, files, streams).

Inward, every format ends in columns, and all columns pass one door (`columns`), so that a record
is good or bad for the same reasons wherever it came from. Outward, formats are written column by
column with Arrow's string kernels (`json_columns`), never row by row in Python.

Promises:

1. Any bytes give rows and rejections that add up to what was received, or one error of
   `node.errors`; nothing else is ever raised (`tests/property/codec`).
2. A bad record costs no other one: it is refused with its index, a reason in words and the field.
3. Memory is bounded before it is taken: compressed, repeated and nested Arrow cannot unfold to
   more than named limits (`arrow_bounds`, `values`).
4. What is written and read again has the same digests, in every format that is read.

What it does not do: it maps no columns and knows no file layouts (`ingest` does).
"""
