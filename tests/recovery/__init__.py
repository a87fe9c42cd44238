"""Partition-recovery scripts: real nodes, real cuts, load, and a verdict with counts.

    python -m tests.recovery --list
    python -m tests.recovery isolate --seconds 600 --records 1000000
    python -m tests.recovery --all --json
    python -m tests.recovery --all --cluster my-test-cluster.toml

Each script starts node processes (or takes an operator's), fills them, breaks something while
records arrive and questions are asked at every node, heals it, and then looks at every disk. The
exit code is 0 when everything was as promised, and the last line is the verdict. `docs/recovery.md`
tells how to read it.

What counts as wrong: an acknowledged record on no disk; one that is missing on a holder, lies on
another node, twice, or altered; an answer with a record twice or one that was never sent; an answer
whose coverage word promises more than it holds; a node that, cut off, lacks anything of its area
and halo that it had received, or does not say `local` of it; rings that differ, or a word other
than `complete`, when the time to recover is over.

Not shown here: what only many seeds find (`tests.sim` runs the same code in virtual time).
"""
