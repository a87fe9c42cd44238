"""The rules of a node, pure: values in, values out; no clock, socket, file, task or randomness.

The shells in `node.service` feed these rules with what arrived and what time it is, and carry
out what they say. Promises that rest here (numbers of DESIGN 9):

1. `acknowledge` counts disks: a batch is acknowledged only when every record is on as many as
   `w` asks for (promise 1), and `outstanding` remembers who may lack what.
2. `routing` picks one reader for every code, and `coverage` says what that reader cannot know
   (promises 4 and 5): an answer is as good as its worst part.
   `filled` says for which codes a store may be read alone, and what others may make of that;
   `flip` when the old owner hands its codes over. `rules` names them all, so that the simulation
   can leave one out.
3. `paging` joins the pages of several readers without losing or doubling a key.
4. `swim` finds out who is there and tells others, with `membership` (what a node believes and
   why), `suspicion`, `awareness`, `dissemination`, `roster`, `forgotten` (whom a person gave up)
   and `gossip_message`; `word` is what a node says of itself. A word's age is a bound on one
   node's own clock (promise 5, `as_of`).
5. `hlc` gives corrections versions that rise everywhere.

6. `comparison` finds what another node lacks by digests, from coarse to fine, and `hash_ranges`
   does in large buckets; `throttle` says how
   fast it may go there; `letting_go` when a node may delete what it does not hold (promise 3).

Sources: SWIM and Lifeguard (`swim`, `awareness`); the shape is that of etcd's raft (step and tick
in, effects out); what is owed to whom and comparing by digests come from G. DeCandia et al.,
Dynamo (2007), sections 4.6 and 4.7; hybrid clocks from S. Kulkarni et al., Logical Physical Clocks
(2014).
"""
