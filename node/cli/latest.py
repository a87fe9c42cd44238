"""`zring latest`: the newest record of each sensor."""

from typing import Any

import click

from node.cli.options import connect, connection_options, selection, selection_options
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
    url: str,
    token: str | None,
    tls_ca: str | None,
    timeout_s: float,
    **selected: Any,
) -> None:
    """Print the newest record of each sensor of COLLECTION.

    \b
    Examples:
      zring latest amedas
      zring latest amedas --bbox 135.1,34.1,135.3,34.3 --columns temp
    """
    with connect(url=url, token=token, tls_ca=tls_ca, timeout_s=timeout_s) as client:
        result = client.latest(collection, limit=limit, **selection(**selected))
    print_rows(result.table)
    report_coverage(context, result.coverage)
