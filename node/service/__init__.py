"""The I/O shell of one node: write, read, talk to the members, move what belongs elsewhere.

Promises kept here (numbers of DESIGN 9), with the rules of `node.protocol`:

1. A record is acknowledged only when it is on the disks that `w` asks for (`write`), and the
   node that took it owes the other holders their copies until they confirm (`delivery`,
   `mover`).
2. Any node takes any record of the domain, alone if it must: then it is a keeper.
3. Every answer names its coverage, chosen from what this node knows at that moment (`members`).
4. Requests on another ring are refused and corrected (`peers`, `handlers`).
5. Every wait for another node has a deadline; a caller that leaves takes its remote work along.

Files: `service` (the door), `parts` (what all share), `holding` (the ring, and what this node's
store is filled for, in one transaction), `members` (health, who is owed what, who reads what),
`filled` (being verified), `forgetting` (a member that is given up), `flip` and `gate` (handing
codes over), `peers` (calls out), `handlers` (calls in), `gossip` and `health` (who is there),
`write`, `delivery`, `links`, `mover`,
`selection` → `local` → `scatter` → `read`, `reading`, `groups` → `aggregate`, `latest`,
`catalogue`, `status`, `counters`, `tasks`; `arrivals` → `following` (streams of what arrives).
"""
