"""What a node keeps on its disk: Arrow columns in blocks, in an LMDB map, behind one contract.

The idea: new records are committed to a log (that is when they are durable) and served from
memory; a merger turns them into blocks, sorted and encoded so that a query filters them where
they lie. Time is cut into slices, a slice holds runs of blocks sorted by key, and all bounds are
in a small index, so that nothing a query does grows with what is stored beside it.

What two nodes compare and let go of are buckets: the records of some cells on one day. Every block
has a digest table, so that the digest of a bucket is a sum and hardly any row is read for it.

Files, from the seam inwards: `engine` (the contract), `memory_engine` and `memory_rows` (the
obviously right twin), `lmdb_engine` (the embedded one: `opening`, `writer`, `merge_thread`,
`view`), `scan_step` (one bounded step of a scan, with `candidates`, `selection`, `block_index`,
`block_search`), `merger`, `swapper` and `memtable` (log to blocks), `bucket_digests`,
`bucket_set`, `digest_table` (what buckets are), `bucket_work`, `bucket_sums`, `removal` (what is
done with them), `block_encode`, `block_layout`, `block_select`, `block_read`,
`block_cache` (bytes of a block), `log_codec`, `tables`, `damage`, `collection`, `newest_time`,
`freed_memory`, `settings`. The layout on disk is in docs/storage.md.

Promises:

1. A write that returned is durable: fdatasync came back first.
2. A crash at any moment loses nothing that returned and doubles nothing.
3. No transaction outlives one step, so slow readers never pin pages.
4. What is removed is exactly what was compared: a record that came meanwhile keeps its bucket.
5. Damaged bytes are never served: the store is set aside and the node begins with an empty one.

What it does not do: no rings, no peers, no filters on values; those are the service's.

Sources: LMDB (H. Chu, MDB: a memory-mapped database, 2011); Arrow columnar format; size-tiered
compaction as in Cassandra.
"""
