"""Commands whose expected errors are one line and an exit code."""

from typing import Any

import click

from analytics.errors import AnalyticsError, CoverageInsufficient
from node.cli.exit_codes import FAILURE, PARTIAL
from node.cli.main import CommandFailed


class AnalyticsCommand(click.Command):
    """As click's, for functions that may raise `AnalyticsError`."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CoverageInsufficient as error:
            raise CommandFailed(str(error), exit_code=PARTIAL) from None
        except AnalyticsError as error:
            raise CommandFailed(str(error), exit_code=FAILURE) from None
