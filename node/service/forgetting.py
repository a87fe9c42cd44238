"""Giving up a member for good: one that was removed from the ring and will never return.

Members remember and ask each other for ever, so that nobody is lost in a long split; of a dead
one only a person can know that it is dead. What is given up with it is said before. The
tombstone (`node.protocol.forgotten`) is durable here when the call returns, and rides on gossip
to all members, also to those who are away now.
"""

from dataclasses import dataclass

from node.errors import BadRequest, NotFound, Refused
from node.service.parts import Parts
from zring.span import Spans, union


@dataclass(frozen=True, slots=True)
class GivenUp:
    """What goes with a member.

    Attributes:
        since_us: when it was last heard; None for one that is forgotten already.
        heard: whether this process has heard its word; otherwise nobody here knows what it owed.
        owed_to: members that may have lacked records which it had, when it was last heard.
        spans: where; such records may be on no other node.
    """

    node: str
    since_us: int | None
    heard: bool
    owed_to: tuple[str, ...] = ()
    spans: Spans = ()

    @property
    def already(self) -> bool:
        """Whether it was given up before."""
        return self.since_us is None


class Forgetting:
    """Carries out `forget`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def look(self, node: str) -> GivenUp:
        """What would be given up; nothing is changed.

        Raises:
            NotFound: nobody of that name is known. Refused: it is in contact, or in the ring.
            BadRequest: it is this node.
        """
        members = self._parts.members
        if node == self._parts.node_id:
            raise BadRequest(f"{node} is the node that was asked; ask another one", field="node")
        if node in members.ring.members():
            raise Refused(
                f"{node} owns an area, is about to, or is an archive: commit a plan first that "
                f"removes it (zring plan remove {node})"
            )
        member = members.health.members.find(node)
        if member is None:
            if members.forgotten.incarnation_of(node):
                return GivenUp(node, None, heard=False)
            raise NotFound(f"{node} is no member that {self._parts.node_id} has heard of")
        if member.state != "away":
            raise Refused(f"{node} is {member.state}: only who is away is forgotten; stop it first")
        since_us, word = members.last_contact_us(node), member.word
        if word is None:
            return GivenUp(node, since_us, heard=False)
        spans: Spans = ()
        for owed in word.owed.values():
            spans = union(spans, owed)
        return GivenUp(node, since_us, True, tuple(sorted(word.owed)), spans)

    async def forget(self, node: str) -> GivenUp:
        """Give a member up; again changes nothing. Durable here when it returns.

        Raises:
            As `look`; StoreFull: it is forgotten until this node stops: repeat it.
        """
        parts, members = self._parts, self._parts.members
        given_up = self.look(node)
        member = members.health.members.find(node)
        if member is not None:
            # Incarnations begin with the second of a start: what it said at any time before now
            # is covered, also where somebody else has heard more of it.
            now_s = parts.clock.now_us() // 1_000_000
            members.forgotten.merge({node: max(member.incarnation, now_s)})
            members.drop_forgotten()
            members.speak()
        await parts.engine.write([], meta=members.lasting_forgotten())
        return given_up
