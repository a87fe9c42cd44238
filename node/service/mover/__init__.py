"""The one mover of data: anti-entropy between this node and each of the others.

It keeps making every holder have what this node has, and lets go of what this node does not
hold. Handing back after a split, filling a new node, draining a leaving one, repair after a lost
disk and bringing replicas up to date are all this (PROTOCOL 3–5).

1. `mover` decides when: one job at most for each peer in contact, woken by what `Outstanding`
   holds; a job that breaks begins again later and finds at once what is equal.
2. `job` goes through what is outstanding, newest days first over all collections; over a link
   with a rate one message of what is known to be lacking goes before all comparing (`newest`).
3. `compare` narrows each region down by digests; `exchange` sends what the peer lacks: whole
   pieces where it has nothing, else what it picks from an offer of identities and versions; of
   a large bucket only what lies in ranges of hashes that differ. While people are served, messages
   are small and go one by one, with a rest after each.
4. `release` deletes what this node does not hold, once every holder has confirmed it.
5. `answers` is the other end: digests, offers, and "you are in step with me".
6. `link` carries the messages of one peer and keeps to its rate; `region` says which codes and
   days; `progress` is what people are shown.

What it does not do: decide who is filled (`in_step` only tells), or change the ring.
"""
