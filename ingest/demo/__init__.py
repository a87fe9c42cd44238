"""`zring demo`: four nodes on this machine, loaded and searched before your eyes.

The idea: what a published experiment took a laboratory for runs in a minute on one machine. Four
node processes own the quarters of the square around Wakayama; two million records go to their
owners; the records per node (N3) and two searches of 20,000 records (N2) are printed beside the
published figures.

Files: `nodes` (the processes, and that none outlives the demo), `load` (records to the cluster
with a progress bar), `settle` (until the nodes have
nothing left to do), `search` (the two searches), `command` (the order of it all, and what is
printed).

What it does not do: it keeps nothing. The stores lie in a temporary folder, unless `--store`
names one.

Source: Nagai et al., a sensor data server distributed by spatial information.
"""

from ingest.demo.command import demo

__all__ = ["demo"]
