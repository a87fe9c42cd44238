"""What the driver asks a node before a read: who owns what, and what the collection holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analytics.source.options import Access
from node.api.parsing import parse_time
from node.client.channel import Channel
from node.client.parameters import collection_path
from node.client.routing import RingView
from node.errors import NodeError, PeerRefused, Unavailable


@dataclass(frozen=True, slots=True)
class Ring:
    """Who owns which codes, by the word of one node.

    Attributes:
        view: spans with their owners, and the URLs of the nodes that are not away.
        archives: names of the nodes that own nothing and hold everything.
    """

    view: RingView
    archives: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a collection is known to hold.

    Attributes:
        kinds: value name → number, text, boolean, bytes or json.
        time_first, time_last: microseconds; None when nothing is known.
    """

    kinds: Mapping[str, str]
    records: int
    time_first: int | None
    time_last: int | None


def ask_ring(access: Access) -> Ring:
    """The ring, from the first node that answers.

    Raises:
        NodeError: of the last node that was asked.
    """
    document = _ask(access, "/cluster/ring")
    archives = tuple(document.get("settings", {}).get("archives", ()))
    return Ring(RingView.from_json(document), archives)


def ask_holdings(access: Access, collection: str) -> Holdings:
    """Values, number of records and extent of a collection.

    Raises:
        NodeError: NotFound when nobody knows the collection; else of the last node asked.
    """
    document = _ask(access, collection_path(collection))
    try:
        first, last = document["extent"]["temporal"]["interval"][0]
        return Holdings(
            kinds=dict(document["values"]),
            records=int(document["records"]),
            time_first=None if first is None else parse_time("from", first),
            time_last=None if last is None else parse_time("to", last),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise PeerRefused(f"{collection} is described in another form: {error!r}") from None


def _ask(access: Access, target: str) -> dict[str, Any]:
    cause: NodeError | None = None
    for url in access.urls:
        channel = Channel(url, timeout_s=access.timeout_s, direct=True, **access.credentials())
        try:
            return channel.json(target, replaceable=url != access.urls[-1])
        except (Unavailable, PeerRefused) as error:
            cause = error
        finally:
            channel.close()
    assert cause is not None
    raise cause


def describe(document: Mapping[str, Any]) -> str:
    """A short text of a node's details, for messages."""
    return "; ".join(f"{name} {document[name]}" for name in sorted(document))
