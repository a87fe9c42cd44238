"""Where Spark looks for the format `zring`: it imports every module named `pyspark_…` that it can
find and registers its `DefaultSource`."""

from analytics.source.data_source import ZringSource as DefaultSource

__all__ = ["DefaultSource"]
