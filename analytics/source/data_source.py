"""The format `zring` of `spark.read` and `df.write`."""

from pyspark.sql.datasource import DataSource
from pyspark.sql.types import StructType

from analytics.errors import BadOption
from analytics.source.cluster import ask_holdings
from analytics.source.fields import spark_schema
from analytics.source.options import read_options, write_options
from analytics.source.reader import PushingReader, ZringReader
from analytics.source.writer import ZringStreamWriter, ZringWriter


class ZringSource(DataSource):
    """Records of one collection of a cluster; options are in docs/spark.md."""

    @classmethod
    def name(cls) -> str:
        """What stands in `format(…)`."""
        return "zring"

    def schema(self) -> StructType:
        """What the collection is known to hold now."""
        options = read_options(self.options)
        holdings = ask_holdings(options.access, options.collection)
        return spark_schema(holdings.kinds, options.columns)

    def reader(self, schema: StructType) -> ZringReader:
        """One read."""
        options = read_options(self.options)
        return (PushingReader if options.pushdown else ZringReader)(options, schema)

    def writer(self, schema: StructType, overwrite: bool) -> ZringWriter:
        """One write."""
        _refuse(overwrite)
        return ZringWriter(write_options(self.options), schema)

    def streamWriter(self, schema: StructType, overwrite: bool) -> ZringStreamWriter:  # noqa: N802
        """A streaming write."""
        _refuse(overwrite)
        return ZringStreamWriter(write_options(self.options), schema)


def _refuse(overwrite: bool) -> None:
    if overwrite:
        raise BadOption(
            'mode("overwrite") is not offered: records are never deleted by a write; use '
            'mode("append"), and the option replace=true for corrections'
        )
