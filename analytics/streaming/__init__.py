"""Jobs over streams: records from Kafka, windows, anomalies and model scores, results as records.

The idea: Spark's Structured Streaming keeps the offsets and the state, this package says what is
computed. Every job is one function from records to result records (`windows`, `anomalies`,
`scores`); where they go is chosen beside it (`outputs`), so each job can feed the cluster, a
topic, the console and a cache at once.

Three times, and what each is for:

- *event time* is the record's own `time`. Windows and state go by it alone.
- *ingestion time* is when the broker took the message (`produced`). Only delays are measured
  with it.
- *processing time* is when a batch runs. It decides how soon a result is there, never what it is.

A *watermark* of 10 s behind the greatest event time seen says when a window is complete. A record
that comes later than that is left out of the windows (it is in the store: stored records know no
late). *Tumbling* windows lie side by side, *sliding* ones overlap, a *session* lasts as long as
no pause of a sensor is longer than a gap. Windows and anomalies are *stateful*: what they
remember is in the checkpoint and has limits. Decoding and scores are *stateless*.

Promises:

1. From Kafka to the cluster each result is stored exactly once: a batch that is repeated after a
   crash gives the same results, and the same record stored again changes nothing.
2. To Kafka, console and Redis a result comes at least once. Messages carry the identity of the
   result as their key, so that whoever reads can drop repeats; Redis keeps one value a key.
3. A message that is no record is counted and left out; it never stops a job.
4. What a job remembers of a sensor is dropped when it has been silent for a day.

Files: `input` (messages to columns), `areas` (cells as columns), `windows`, `anomalies`, `scores`
(the jobs), `outputs` (where results go), `monitor` (is it keeping up; alerts), `metrics` (the same
for Prometheus), `running` (one job from start to stop), `commands`.

What it does not do: it is no second way to store the stream (`ingest` does that, with dead
letters and an account), and it joins no two streams.

Sources: Akidau et al., "The Dataflow Model" (VLDB 2015) for the times and the windows.
"""
