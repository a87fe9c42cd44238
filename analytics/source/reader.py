"""The batch reader: conditions taken over, tasks planned, pages handed on as Arrow batches."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
from pyspark.sql.datasource import DataSourceReader, Filter, InputPartition
from pyspark.sql.types import StructType

from analytics.errors import BadOption
from analytics.source.cluster import ask_holdings, ask_ring
from analytics.source.conditions import narrow
from analytics.source.coverage import CoverageRule
from analytics.source.fields import arrow_schema, read_fields
from analytics.source.options import ReadOptions
from analytics.source.pages import Pages, nearest_first, page_target
from analytics.source.selection import Selection
from analytics.source.slices import Cut, Slice, plan_slices
from analytics.source.widening import fit
from node.errors import BadRequest
from node.filter import parse_filter
from zring.span import Spans

COLUMNS_BYTES_MAX = 8_000
"""Names of columns that are asked for: part of a request line of bounded length."""


class ZringReader(DataSourceReader):
    """One read of one collection; made in the driver, copied to every task."""

    def __init__(self, options: ReadOptions, schema: StructType) -> None:
        """Ask the cluster what the collection holds and settle the columns.

        Raises:
            BadOption, NodeError: the read cannot be done as it was asked for.
        """
        self._options = options
        self._holdings = ask_holdings(options.access, options.collection)
        self._fields = read_fields(schema, self._holdings.kinds)
        self._schema = arrow_schema(schema)
        self._selection = _selection_of(options)

    def partitions(self) -> Sequence[InputPartition]:
        """The tasks: one for each owner and slice of time."""
        options = self._options
        cut = Cut(options.slice_us, options.tasks, options.read_from)
        slices = plan_slices(ask_ring(options.access), self._holdings, self._selection, cut)
        if slices:
            self._judge_whole(slices[0].urls)
        return [InputPartition(part) for part in slices]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        """The rows of one task, a batch a page."""
        part: Slice | None = partition.value
        if part is None:  # what Spark makes of no tasks at all
            return
        options = self._options
        rule = CoverageRule(options.collection, options.require)
        selection = self._selection.within_time(start=part.time_start, stop=part.time_stop)
        urls = part.urls if options.read_from != "nearest" else nearest_first(part.urls)
        with Pages(options.access, urls) as pages:
            target = self._target(selection, part.spans, rows=options.page_rows)
            for page in pages.read(target):
                rule.judge(page.coverage)
                if len(page):
                    yield fit(page.table, self._fields, self._schema)

    def _judge_whole(self, urls: Sequence[str]) -> None:
        """Fail or warn in the driver, before any task begins; every page is judged again."""
        options = self._options
        with Pages(options.access, urls) as pages:
            first = pages.first(self._target(self._selection, None, rows=1))
        CoverageRule(options.collection, options.require).judge(first.coverage)

    def _target(self, selection: Selection, spans: Spans | None, *, rows: int) -> str:
        return page_target(
            self._options.collection,
            selection,
            spans,
            columns=self._columns(),
            reader="owner" if self._options.read_from == "owner" else "asked",
            page_rows=rows,
            timeout_s=self._options.access.timeout_s,
        )

    def _columns(self) -> list[str] | None:
        """Names of the values to send; None is all of them."""
        names = [field.name for field in self._fields if field.kind != "fixed"]
        known = sorted(self._holdings.kinds)
        wanted = names or known[:1]  # no list is empty; one column costs least
        if sum(3 * len(name.encode()) + 1 for name in wanted) > COLUMNS_BYTES_MAX:
            return None
        return wanted


class PushingReader(ZringReader):
    """A read that also takes over the conditions of the one query that it is made for.

    Spark 4.2 keeps one plan of a Python source for each `load()` and uses it again for the next
    query of that frame, with the conditions of the query before; so this is chosen by an option.
    """

    def pushFilters(self, filters: list[Filter]) -> Iterator[Filter]:  # noqa: N802 - Spark's name
        """Take over what the nodes can test; the rest is handed back."""
        self._selection, left = narrow(self._selection, filters, self._fields)
        yield from left


def _selection_of(options: ReadOptions) -> Selection:
    selection = Selection(
        time_start=options.time_start, time_stop=options.time_stop, sensors=options.sensors
    )
    if options.bbox is not None:
        box = options.bbox
        selection = selection.within_lon(least=box.west, most=box.east)
        selection = selection.within_lat(least=box.south, most=box.north)
    if options.filter is not None:
        try:
            parse_filter(options.filter)
        except BadRequest as error:
            raise BadOption(f"option {error}") from None
        selection = selection.where(options.filter)
    return selection
