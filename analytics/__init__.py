"""From the holders to answers: records in Spark, and models over them.

The idea: the peers already keep records as Arrow columns, sorted by place and time, each part on
the node that owns it. A Spark task therefore reads its part straight from that node, and what a
query does not need is never sent: area, time, sensors, conditions on values and the choice of
columns are applied where the records lie. What a job computes goes back the same way, as records
of a collection that anyone can query by place and time.

Promises:

1. Nothing is installed for it that is not used: the core runs without this package's extras, and
   the one door that needs one (`spark`, `chainer`) says in one line what to install.
2. The layer stands on the client and the formats alone: it knows no store and no protocol between
   nodes, so that a job works against any cluster that a person can query.

What it does not do: it is no part of a node. A node answers, stores and repairs without it.
"""
