"""Commands: they read settings, put the parts of a node together, and show what it says.

Promises:

1. An error is one line that names the thing, the value and the way out; never a traceback. The
   exit code says which kind it was (`exit_codes`).
2. A setting that does not exist is refused wherever it stands; a message about a value says
   which file, variable or flag it came from.
3. Whatever takes longer than a second shows progress on a terminal, and nothing elsewhere.

Files: `main` (the group; commands of upper layers come through the entry points
`zring.commands`), `serve`, `init`, `status`, `ring`, `query`, `latest`, `doctor` (one command
each), `settings`, `catalogue`, `template` (where settings come from and how they are written),
`checks` (what the doctor looks at), `map_drawing`, `tables` (what a terminal shows),
`node_process` (the parts of a node, started by `serve`), `absent_pandas` (what that process does
without).

What it does not do: no command keeps state of its own; everything it knows comes from the
settings and from a node.
"""
