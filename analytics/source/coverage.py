"""What an answer's coverage means for a read: go on, say so, or stop."""

import logging
from collections.abc import Mapping
from typing import Any

from analytics.errors import CoverageInsufficient
from node.client.result import AnswerCoverage
from node.query import COVERAGE_ORDER, CoverageState

LOG = logging.getLogger("analytics.source")
BOXES_SHOWN_MAX = 8
NODES_SHOWN_MAX = 8


class CoverageRule:
    """Judges the answers of one task; warns of each kind of trouble once."""

    def __init__(self, collection: str, require: CoverageState) -> None:
        self._collection = collection
        self._require = require
        self._said: set[str] = set()

    def judge(self, coverage: AnswerCoverage) -> None:
        """Let an answer pass, with a warning where it may lack records.

        Raises:
            CoverageInsufficient: it is worse than `require`; names areas and times.
        """
        if coverage.state == "complete":
            return
        text = f"{self._collection}: the answer is {coverage.state}: {trouble(coverage)}"
        if COVERAGE_ORDER.index(coverage.state) > COVERAGE_ORDER.index(self._require):
            raise CoverageInsufficient(
                f"{text}; option require={self._require} asks for better: wait until the nodes "
                f"are back, or accept it with require={coverage.state}"
            )
        if coverage.state not in self._said:
            self._said.add(coverage.state)
            LOG.warning("%s", text)


def trouble(coverage: AnswerCoverage) -> str:
    """Areas, nodes and times of a coverage, in words."""
    details = coverage.details
    parts = []
    if details.get("missing"):
        parts.append(f"no node with the records is in contact for {_boxes(details['missing'])}")
    if details.get("settling"):
        parts.append(f"records may still be under way in {_boxes(details['settling'])}")
    if details.get("away"):
        parts.append(f"away: {_away(details['away'])}")
    if details.get("alone_since"):
        parts.append(f"the node that answered has been alone since {details['alone_since']}")
    parts.append(f"as of {details.get('as_of', 'an unknown time')}")
    return "; ".join(parts)


def _boxes(boxes: Any) -> str:
    shown = ["({:g}, {:g})-({:g}, {:g})".format(*box) for box in boxes[:BOXES_SHOWN_MAX]]
    more = len(boxes) - len(shown)
    return ", ".join(shown) + (f" and {more} more areas" if more else "")


def _away(away: Mapping[str, str]) -> str:
    shown = [f"{node} since {since}" for node, since in sorted(away.items())[:NODES_SHOWN_MAX]]
    more = len(away) - len(shown)
    return ", ".join(shown) + (f" and {more} more nodes" if more else "")
