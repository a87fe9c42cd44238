"""`zring latest`: the newest record of each sensor."""

from typing import Any

import click

from node.cli.options import (
    connect,
    connection_options,
    selection,
    selection_options,
    take_connection,
)
from node.cli.query import report_coverage
from node.cli.tables import print_rows


@click.command()
@click.argument("collection")
@selection_options
@click.option("--limit", type=click.IntRange(min=1), help="Sensors at most.")
@connection_options
@click.pass_context
def latest(
    context: click.Context,
    /,
    *,
    collection: str,
    limit: int | None,
    **given: Any,
) -> None:
    """Print the newest record of each sensor of COLLECTION.

    \b
    Examples:
      zring latest amedas
      zring latest amedas --bbox 135.1,34.1,135.3,34.3 --columns temp
    """
    with connect(**take_connection(given)) as client:
        result = client.latest(collection, limit=limit, **selection(**given))
    print_rows(result.table)
    report_coverage(context, result.coverage)
