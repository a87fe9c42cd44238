"""Between nodes: one request, one reply, each a small map of control fields and a body of rows.

The idea: whoever decides what to say (`node.service`) does not know how it travels. `transport`
is the seam, with the promises that callers rely on: a deadline on every call, cancelling here
cancels there, an error comes out as the class that was raised at the other end. `http` keeps
them over HTTP with aiohttp; the simulation keeps them in memory; one contract test holds both to
it. `wire` has the bytes of a message, `rows` those of records in bulk. Before the first message two
processes greet each other: `identity` is what they compare, `session` what they prove, and
`refusals` remembers who was turned away, for the status page, the log and the audit.

Promises:

1. Any bytes on the peer port get an error and are counted; they never stop a node.
2. Nobody without the cluster key (or, where asked for, a certificate that names it) gets further
   than that, nor a node of another cluster, domain or grain level, nor a second one of a name;
   both sides say why.
3. A reader ignores fields that it does not know, and every message carries a version, so that a
   cluster is upgraded node by node.

What it does not do: it keeps no queue and repeats nothing. What to do about a member that does
not answer is decided by the rules in `node.protocol`.
"""
