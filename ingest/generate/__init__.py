"""Records without sensors: 40 real stations or 20,000 vehicles from a seed, or those of files.

The idea: weather here is a function, not a simulation. Every value depends only on (seed,
station, time), so that any slice of time can be made alone, batches of any size give the same
records, and a seed is all that has to be written down. Randomness is a hash of counters
(`noise`), never a stream that must be read from its beginning.

`weather` has the fields (seasons, days, altitude, noise), `fronts` the rain bands that cross the
map from west to east, `stations` turns them into observations with gaps and flags, `moving` makes
vehicles whose every position differs, `records` cuts all of them into Arrow record batches.

`zring generate` (`command`) plays them to a cluster, a broker or a file (`targets`): `replayed`
takes real records instead, `pacing` says when each is due, `disturbed` delays and repeats some,
`payloads` makes messages of them and breaks some. All of that follows from the seed as well.

What it does not do: it forecasts nothing and is no climate; it has the size, the types, the
imbalance between the quarters, the gaps and the regularity of the real records, so that stores
and queries meet what they meet in reality.
"""

from ingest.generate.records import MODES, generate_records

__all__ = ["MODES", "generate_records"]
