"""What is timed: one command per promised figure, ours and the references in the same run.

`python -m bench --list` shows the figures, `python -m bench n2 small` measures two of them,
`python -m bench all` everything. Each prints our figure, the reference's, the ratio, the bar and
whether it holds; `--out` keeps them as JSON, `--write-docs` in docs/benchmarks.md.

Rules of a fair measurement, kept by the code and not by the reader:

1. The references (PostGIS, QuestDB, DuckDB) run on the same rows in the same run, tuned as well as
   their documentation tells; rounds of ours and theirs alternate: a noisy machine hits both.
2. No answer is timed that was not checked: rows and checksums against numpy over the same table.
3. Warm-up first, medians after. Clients are real ones in processes of their own.
4. Everything that was started is stopped, whatever happens; nothing of the system's own services
   is touched (PostgreSQL runs a private cluster on a free port).

What this does not do: assert. Figures depend on the machine; tests are for what must always hold.
"""
