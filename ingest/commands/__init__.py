"""The commands about streams: `zring ingest run | check | audit`, `zring deadletter`, and one
command for each kind of source.

The idea: a command turns its flags into the same settings that a TOML file holds
(`ingest.stream_settings`), and runs what a service would run (`service.run_sources`). `options`
has the flags that all kinds share.

What it does not do: nothing here knows a protocol; a kind's own flags stand in its command's file.
"""
