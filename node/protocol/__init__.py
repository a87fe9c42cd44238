"""The rules of a node, pure: values in, values out; no clock, socket, file, task or randomness.

The shells in `node.service` feed these rules with what arrived and what time it is, and carry
out what they say. Promises that rest here (numbers of DESIGN 9):

1. `acknowledge` counts disks: a batch is acknowledged only when every record is on as many as
   `w` asks for (promise 1), and `hints` remembers for whom a copy is still outstanding.
2. `routing` picks one reader for every code, and `coverage` says what that reader cannot know
   (promises 4 and 5): an answer is as good as its worst part.
3. `paging` joins the pages of several readers without losing or doubling a key.
4. `health` tells the members apart: alive, away, unknown, wiped, foreign, doubled.
5. `hlc` gives corrections versions that rise everywhere.

What it does not do yet: members are a list that the ring names, checked by direct probes; there
is no gossip, no change of the ring and no general mover. `hints` stands in for the mover: what
a holder missed is remembered as cells and time slots and sent again.

Sources: the shape is that of etcd's raft (step and tick in, effects out); hints come from
G. DeCandia et al., Dynamo (2007), section 4.6; the write-intent set from RAID bitmaps; hybrid
clocks from S. Kulkarni et al., Logical Physical Clocks (2014).
"""
