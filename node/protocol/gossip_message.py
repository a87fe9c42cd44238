"""What members say to each other, as values and as the bytes of a message body.

Bodies are msgpack lists; places are append-only and those beyond the last are ignored. Both have
the sender first: node, run, incarnation, version, address.

    request   5 founding, 6 target, 7 have (incarnation, version), 8 full, 9 rumours, 10 want,
              11 relay (node, address), 12 felt, in tenths of a second
    reply     5 sequence, 6 records, 7 clock_us, 8 ring digest, 9 word, 10 rumours, 11 ages,
              12 words (word, age), 13 reached, 14 unknown sender
    rumour    node, address, incarnation, version, run, rank, source
    age       node, incarnation, version, tenths of a second, rounded up

Any bytes are a value or `BadRequest`.
"""

from dataclasses import dataclass
from typing import Any

import msgpack

from node.errors import BadRequest
from node.protocol.dissemination import AWAY, Rumour
from node.protocol.word import Word, plain_to_word, word_to_plain

AGE_UNIT_MS = 100
LIST_MAX = 20_000
"""Entries of one list that are read; what is sent is far below."""


@dataclass(frozen=True, slots=True)
class Age:
    """A member's word of that stamp was its word so long ago, or later."""

    node: str
    incarnation: int
    version: int
    age_ms: int


@dataclass(frozen=True, slots=True)
class Sender:
    """Who speaks.

    Attributes:
        run: random number of the process.
        address: "" where the other knows it.
    """

    node: str
    run: int
    incarnation: int
    version: int
    address: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """A probe; with `full` an exchange, with `relay` the wish that the target probes another.

    Attributes:
        founding: mark of cluster, domain and grain level.
        target: who is expected at the address; "" where nobody knows.
        have: stamp of the target's word that the sender has; (0, 0) for none.
        want: members whose word the sender lacks.
        felt_ms: bytes of the target are arriving at the sender, and its answers come late behind
            them; as long as that is so, the sender says so again within this time. 0: it is not so.
    """

    sender: Sender
    founding: int
    target: str = ""
    have: tuple[int, int] = (0, 0)
    full: bool = False
    rumours: tuple[Rumour, ...] = ()
    want: tuple[str, ...] = ()
    relay: tuple[str, str] | None = None
    felt_ms: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer.

    Attributes:
        sequence, records, clock_us, ring_digest: of the replier now.
        word: its word where the sender has another one.
        ages: of words that the sender may have as well; `words`: those it wanted, with their age.
        reached: whether the relayed probe was answered; None where there was none.
        unknown: the replier does not know where the sender is reached.
    """

    sender: Sender
    sequence: int = 0
    records: int = 0
    clock_us: int = 0
    ring_digest: int = 0
    word: Word | None = None
    rumours: tuple[Rumour, ...] = ()
    ages: tuple[Age, ...] = ()
    words: tuple[tuple[Word, int], ...] = ()
    reached: bool | None = None
    unknown: bool = False


def request_to_bytes(request: Request) -> bytes:
    """A request as a message body."""
    return bytes(
        msgpack.packb(
            [
                *_sender_to_plain(request.sender),
                request.founding,
                request.target,
                request.have,
                request.full,
                [_rumour_to_plain(rumour) for rumour in request.rumours],
                request.want,
                request.relay,
                -(-request.felt_ms // AGE_UNIT_MS),
            ]
        )
    )


def bytes_to_request(body: bytes | memoryview) -> Request:
    """Undo `request_to_bytes`.

    Raises:
        BadRequest: it is none.
    """
    plain = _unpacked(body, places=12)
    try:
        relay = plain[11]
        return Request(
            sender=_plain_to_sender(plain),
            founding=_number(plain[5]),
            target=_text(plain[6]),
            have=_stamp(plain[7]),
            full=bool(plain[8]),
            rumours=tuple(_plain_to_rumour(rumour) for rumour in _list(plain[9])),
            want=tuple(_text(node) for node in _list(plain[10])),
            relay=None if relay is None else (_text(relay[0]), _text(relay[1])),
            felt_ms=_number(plain[12]) * AGE_UNIT_MS if len(plain) > 12 else 0,
        )
    except (TypeError, ValueError, IndexError, KeyError) as error:
        raise _malformed(error) from None


def reply_to_bytes(reply: Reply) -> bytes:
    """A reply as a message body."""
    return bytes(
        msgpack.packb(
            [
                *_sender_to_plain(reply.sender),
                reply.sequence,
                reply.records,
                reply.clock_us,
                reply.ring_digest,
                None if reply.word is None else word_to_plain(reply.word),
                [_rumour_to_plain(rumour) for rumour in reply.rumours],
                [_age_to_plain(age) for age in reply.ages],
                [[word_to_plain(word), -(-age // AGE_UNIT_MS)] for word, age in reply.words],
                reply.reached,
                reply.unknown,
            ]
        )
    )


def bytes_to_reply(body: bytes | memoryview) -> Reply:
    """Undo `reply_to_bytes`.

    Raises:
        BadRequest: it is none.
    """
    plain = _unpacked(body, places=15)
    try:
        return Reply(
            sender=_plain_to_sender(plain),
            sequence=_number(plain[5]),
            records=_number(plain[6]),
            clock_us=_number(plain[7]),
            ring_digest=_number(plain[8]),
            word=None if plain[9] is None else plain_to_word(plain[9]),
            rumours=tuple(_plain_to_rumour(rumour) for rumour in _list(plain[10])),
            ages=tuple(_plain_to_age(age) for age in _list(plain[11])),
            words=tuple(
                (plain_to_word(word), _number(age) * AGE_UNIT_MS) for word, age in _list(plain[12])
            ),
            reached=None if plain[13] is None else bool(plain[13]),
            unknown=bool(plain[14]),
        )
    except (TypeError, ValueError, IndexError, KeyError) as error:
        raise _malformed(error) from None


def _sender_to_plain(sender: Sender) -> list[Any]:
    return [sender.node, sender.run, sender.incarnation, sender.version, sender.address]


def _plain_to_sender(plain: list[Any]) -> Sender:
    node = _text(plain[0])
    if not node:
        raise ValueError("a sender without a name")
    return Sender(node, _number(plain[1]), _number(plain[2]), _number(plain[3]), _text(plain[4]))


def _rumour_to_plain(rumour: Rumour) -> list[Any]:
    return [
        rumour.node,
        rumour.address,
        rumour.incarnation,
        rumour.version,
        rumour.run,
        rumour.rank,
        rumour.source,
    ]


def _plain_to_rumour(plain: Any) -> Rumour:
    node, address, incarnation, version, run, rank, source = plain[:7]
    if not node or _number(rank) > AWAY:
        raise ValueError("a rumour of nobody or of an unknown rank")
    return Rumour(
        _text(node),
        _text(address),
        _number(incarnation),
        _number(version),
        _number(run),
        rank,
        _text(source),
    )


def _age_to_plain(age: Age) -> list[Any]:
    return [age.node, age.incarnation, age.version, -(-age.age_ms // AGE_UNIT_MS)]


def _plain_to_age(plain: Any) -> Age:
    node, incarnation, version, tenths = plain[:4]
    return Age(_text(node), _number(incarnation), _number(version), _number(tenths) * AGE_UNIT_MS)


def _unpacked(body: bytes | memoryview, *, places: int) -> list[Any]:
    try:
        plain = msgpack.unpackb(body)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise _malformed(error) from None
    if not isinstance(plain, list) or len(plain) < places:
        raise _malformed(f"no list of {places} places")
    return plain


def _number(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"{str(value)[:40]!r} is no number from 0")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 300:
        raise TypeError(f"{str(value)[:40]!r} is no short text")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > LIST_MAX:
        raise TypeError(f"{str(value)[:40]!r} is no list, or too long")
    return value


def _stamp(value: Any) -> tuple[int, int]:
    incarnation, version = value
    return _number(incarnation), _number(version)


def _malformed(error: object) -> BadRequest:
    return BadRequest(f"gossip between nodes is malformed: {error}", field="body")
