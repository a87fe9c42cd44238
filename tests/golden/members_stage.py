"""The stage for scripts about membership: some nodes' rules on a network that lines cut and mend.

    > nodes a,b,c                 nodes that know each other and are in contact
    > run 5                       seconds pass; what changes is told with its time
    > cut a b                     nothing arrives from a at b any more (`cut a b both`: nor back)
    > fill a b                    long messages of a arrive at b for seconds and seconds, and
                                  whatever else a says to b comes too late behind them
    > mend                        every link works again
    > stop a                      it dies; > start a [wiped] [image] [at HOST]: it comes back,
                                  with an empty disk, or with the memory of its former start
    > stranger x                  a node of another cluster that knows a
    > double a                    a second process with the name and memory of a, elsewhere
    > who a                       how a sees the others

Lines that tell the same of several nodes at about the same time are joined.
"""

from collections.abc import Iterator
from random import Random

from node.config import LAN
from node.protocol.membership import Changed, Refused, StoreLost
from node.protocol.roster import Member
from node.protocol.word import Word
from tests.golden.commands import Commands
from tests.sim.model import Model, ModelNode


class MembersStage(Commands):
    """Several nodes' rules."""

    def __init__(self) -> None:
        self._told: list[tuple[int, str, str]] = []
        self._model = Model(LAN, Random(7), delay_ms=20, told=self._note)
        self._lives = 100
        self._images: dict[str, dict[str, Member]] = {}

    def _note(self, now_ms: int, node: str, effect: Changed | StoreLost | Refused) -> None:
        if isinstance(effect, Changed):
            words = f"{effect.node} is {effect.state}"
        elif isinstance(effect, StoreLost):
            words = f"{effect.node} lost its store"
        else:
            words = f"{effect.address} refused: {effect.reason}"
        self._told.append((now_ms, node, words))

    def _do_nodes(self, names: str) -> None:
        word = Word(node="", cluster="golden", store_id="first", sequence=5)
        self._model.found(names.split(","), word)

    def _do_run(self, seconds: str) -> Iterator[str]:
        self._model.run(self._model.now_ms + int(float(seconds) * 1_000))
        told, self._told = self._told, []
        joined: dict[str, tuple[int, list[str]]] = {}
        for now_ms, node, words in told:
            first_ms, nodes = joined.setdefault(words, (now_ms, []))
            if now_ms - first_ms > LAN.period_ms * 2:
                yield self._line(first_ms, nodes, words)
                joined[words] = (now_ms, [node])
            elif node not in nodes:
                nodes.append(node)
        for words, (first_ms, nodes) in joined.items():
            yield self._line(first_ms, nodes, words)

    @staticmethod
    def _line(first_ms: int, nodes: list[str], words: str) -> str:
        return f"{first_ms / 1_000:.1f} s, {' '.join(sorted(nodes))}: {words}"

    def _do_cut(self, source: str, target: str, both: str = "") -> None:
        pairs = [(a, b) for a in source.split(",") for b in target.split(",")]
        self._model.cut.update(pairs)
        if both:
            self._model.cut.update((b, a) for a, b in pairs)

    def _do_fill(self, source: str, target: str) -> None:
        self._model.fill(source, target)

    def _do_mend(self) -> None:
        self._model.cut.clear()
        self._model.full.clear()

    def _do_stop(self, names: str) -> None:
        for name in names.split(","):
            self._images[name] = self._memory(self._model.nodes[name])
            self._model.stop(name)

    def _do_start(self, names: str, *how: str) -> None:
        for name in names.split(","):
            before = self._model.nodes[name]
            image, wiped = "image" in how, "wiped" in how
            known = {} if wiped else self._images[name]
            incarnation = before.word.incarnation + (0 if image else 1)
            word = Word(
                node=name,
                cluster="golden",
                store_id="second" if wiped else before.word.store_id,
                sequence=3 if image else before.word.sequence,
                incarnation=1 if wiped else incarnation,
                address=name,
            )
            others = [node for node in sorted(self._model.nodes) if node != name][:1]
            self._begin(name, word, known, seeds=others if wiped else ())

    def _do_stranger(self, name: str) -> None:
        word = Word(name, "other", "theirs", 1, incarnation=1, address=name)
        self._begin(name, word, {}, seeds=["a"], founding=8)

    def _do_double(self, name: str) -> None:
        before = self._model.nodes[name]
        address = f"{name}-elsewhere"
        word = Word(name, "golden", "copied", 5, incarnation=9, address=address)
        known = self._memory(before)
        self._begin(address, word, known)

    def _do_who(self, name: str) -> Iterator[str]:
        membership = self._model.nodes[name].membership
        for node, member in sorted(membership.roster.items()):
            link = ", its link is cut" if node in membership.cut else ""
            yield f"{node} {member.state}, incarnation {member.incarnation}{link}"

    def _begin(
        self,
        address: str,
        word: Word,
        known: dict[str, Member],
        *,
        seeds: list[str] | tuple[str, ...] = (),
        founding: int = 7,
    ) -> None:
        self._lives += 1
        self._model.start(
            address,
            word,
            known,
            tuple(known),
            away=tuple(known),
            run=self._lives,
            seeds=seeds,
            founding=founding,
        )

    @staticmethod
    def _memory(node: ModelNode) -> dict[str, Member]:
        return {
            name: Member(
                name, member.address, incarnation=member.incarnation, store_id=member.store_id,
                sequence=member.sequence,
            )
            for name, member in node.membership.roster.items()
        }  # fmt: skip
