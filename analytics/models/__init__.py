"""Models over records: trained once, carried as one file, applied wherever records are.

The idea: a model is arrays in, arrays out. What a task knows (which values, which hours, who
stands around) is plain NumPy and stays the same whatever computes the answer; the framework
behind it is one module that fulfils `network.Framework`. The same code runs inside Spark and,
without Spark, over the answer of one node: a district that is cut off still wants its forecast.

Promises:

1. Loading a model runs nothing that is in the file: it is JSON and float32 arrays, and sizes,
   shapes, versions and names are checked before they are believed.
2. A model is only applied to what it was trained for: another task, version, framework or shape
   is one clear error.
3. The same records, model and hours give the same results as the same records: storing them
   again changes nothing. Training with the same seed and records gives the same model on the same
   processor and libraries.
4. A feature never sees what was observed after the hour for which it stands.

Files, from the ground up: `errors`; `network` (what a framework gives) and `chainer_framework`;
`saved` (the file); `committee` (networks that are averaged, and their training); `grid` (records
on a clock), `sun`, `neighbourhood`; `nowcast_features`, `nowcast`, `nowcast_training`; `anomaly`
and `planted_faults`; `digits`; `tasks` (which file is whose); `records`; `training_material` and
`spark_inference` (the same on Spark), `inference` (at one node); the commands `train` and `infer`.

What it does not do: no hyperparameter search, no model registry, no GPU. Chainer is no longer
developed; it is what these models were asked to be in, and another framework is one more line in
`network.FRAMEWORKS`.
"""
