"""The Python client: `zring.connect(url)`.

The idea: a cluster has no front door, so the client goes where the records are. It fetches the
ring once, sends a query whose box lies in one node's area to that node and one that several own
to all of them at once (groups per cell as well), groups records by owner before it writes them,
and falls back to any other node when one does not answer. An old ring costs a forwarding hop,
never an answer: the `Zring-Ring` header of every response shows its digest, and a new one makes
the client fetch the ring again before the next call.

Promises:

1. What `write` counts as stored is durable on as many nodes as `w` asked, or `acknowledged` is
   false. Repeating a call is harmless.
2. A query's rows come from one answer, or from the owners' answers for their own codes, in key
   order; its coverage says how complete it is, the worst of the parts. An answer that broke off
   is an error, never a short result.
3. Every call ends by its deadline, `timeout_s`.

Files: `connection` (HTTP/1.1 on kept sockets), `routing` (the ring as a client sees it),
`channel` (which node, which error), `fanout` (several owners at once), `parameters`, `result`,
`writing`, `problems`, `client`.

What it does not do: no caching of answers, no proxies, no redirects, no asyncio (run it in
threads: it is thread-safe and releases the interpreter while it waits).
"""

from node.client.client import Client
from node.client.result import AnswerCoverage, Result
from node.client.writing import Written

__all__ = ["AnswerCoverage", "Client", "Result", "Written"]
