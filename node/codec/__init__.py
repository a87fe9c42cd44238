"""Rows to bytes and back: one file a format, used at every door (HTTP, peers, files, streams).

Decoders never raise for a single bad record: they return the good rows and say for each other
one why it was rejected. Encoders work on columns; no format is written row by row in Python.
"""
