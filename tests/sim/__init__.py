"""Simulation: the real node code in virtual time, on simulated network, disks and clocks.

See docs/simulation.md; `python -m tests.sim --seed 1 --count 20` runs seeds.
"""
