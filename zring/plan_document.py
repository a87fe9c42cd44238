"""Plans as plain values, for files, HTTP and messages.

One map; readers ignore fields they do not know. Codes are decimal texts, because they do not fit
the numbers of JavaScript:

    version           1
    kind              text
    moves             [{start, stop, source, target}]
    records, bytes    integers
    imbalance_before, imbalance_after
    at_risk           [[start, stop]]
    ring_digest       text, 16 hexadecimal digits
    settings          map as in a ring document, or null
"""

from collections.abc import Mapping
from typing import Any, get_args

from zring.errors import InvalidDocument
from zring.fields import checked_items, integer_of, member_of, text_of
from zring.morton import CODE_STOP
from zring.plan import Move, Plan, PlanKind
from zring.ring import SPANS_MAX
from zring.settings import EPOCH_MAX, check_name, check_range, settings_from_plain
from zring.span import Span, normalise

DOCUMENT_VERSION = 1
_KINDS: dict[str, PlanKind] = {kind: kind for kind in get_args(PlanKind)}


def plan_to_document(plan: Plan) -> dict[str, Any]:
    """A plan as plain values in a fixed order."""
    return {
        "version": DOCUMENT_VERSION,
        "kind": plan.kind,
        "moves": [
            {
                "start": str(move.span[0]),
                "stop": str(move.span[1]),
                "source": move.source,
                "target": move.target,
            }
            for move in plan.moves
        ],
        "records": plan.records,
        "bytes": plan.bytes,
        "imbalance_before": plan.imbalance_before,
        "imbalance_after": plan.imbalance_after,
        "at_risk": [[str(start), str(stop)] for start, stop in plan.at_risk],
        "ring_digest": f"{plan.ring_digest:016x}",
        "settings": None if plan.settings is None else plan.settings.to_plain(),
    }


def document_to_plan(document: object) -> Plan:
    """Undo `plan_to_document`.

    Raises:
        InvalidDocument: names the field that is absent or wrong.
    """
    if not isinstance(document, Mapping):
        raise InvalidDocument("plan is no map; pass on what the planner gave")
    if document.get("version") != DOCUMENT_VERSION:
        raise InvalidDocument(
            f"plan has version {document.get('version')!r}, this program reads {DOCUMENT_VERSION}"
        )
    kind = _KINDS.get(str(document.get("kind")))
    if kind is None:
        raise InvalidDocument(f"kind={document.get('kind')!r} is none of {', '.join(_KINDS)}")
    settings = document.get("settings")
    return Plan(
        kind=kind,
        moves=tuple(
            Move(
                _span(move.get("start"), move.get("stop")),
                _name(move, "source"),
                _name(move, "target"),
            )
            for move in _items(document, "moves", dict)
        ),
        records=_count(document, "records"),
        bytes=_count(document, "bytes"),
        imbalance_before=_ratio(document, "imbalance_before"),
        imbalance_after=_ratio(document, "imbalance_after"),
        at_risk=normalise(
            _span(*pair) if len(pair) == 2 else _span(None, None)
            for pair in _items(document, "at_risk", list)
        ),
        ring_digest=_digest(document.get("ring_digest")),
        settings=None if settings is None else settings_from_plain(settings),
    )


def _items(document: Mapping[str, Any], name: str, kind: type) -> list[Any]:
    values = member_of(document, name, list)
    if len(values) > SPANS_MAX:
        raise InvalidDocument(f"{name} has {len(values)} items; at most {SPANS_MAX} are allowed")
    return list(checked_items(values, kind, name))


def _count(document: Mapping[str, Any], name: str) -> int:
    value = integer_of(document, name)
    check_range(name, value, 0, EPOCH_MAX)
    return value


def _ratio(document: Mapping[str, Any], name: str) -> float:
    value = document.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise InvalidDocument(f"{name}={value!r} is no ratio")
    return float(value)


def _name(move: Mapping[str, Any], name: str) -> str:
    value = text_of(move, name)
    check_name(value)
    return value


def _span(start: object, stop: object) -> Span:
    if not (
        isinstance(start, str)
        and isinstance(stop, str)
        and start.isdecimal()
        and stop.isdecimal()
        and max(len(start), len(stop)) <= 19
        and int(start) < int(stop) <= CODE_STOP
    ):
        raise InvalidDocument(f"{start!r}-{stop!r} is no span of codes below {CODE_STOP}")
    return int(start), int(stop)


def _digest(text: object) -> int:
    if isinstance(text, str) and len(text) == 16:
        try:
            return int(text, 16)
        except ValueError:
            pass
    raise InvalidDocument(f"ring_digest={text!r} is not 16 hexadecimal digits")
