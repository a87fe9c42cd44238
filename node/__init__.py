"""One peer: it stores the records of its area, routes the rest, and answers for the whole map.

Layers, arrows point down only (import-linter checks them):

    cli                             commands: they put the parts together
    client     api                  both ends of the HTTP door for people and programs
       console   service            the map page | write, read, watch the members: the I/O shells
    peer  protocol  storage         between nodes | the rules (pure) | the bytes
    codec, query, records, config, clock, errors

`protocol` is as pure as `zring`: no clock, socket, file, task. Time, randomness, network and
disk are handed in (`Clock`, `Transport`, `Engine`), so that a whole cluster runs in one process
on a virtual-time event loop (`tests/sim`).
"""
