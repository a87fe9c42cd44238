"""Laws of membership under any weather: what is believed of a word is true, and peace is found.

Every node has a clock of its own that nobody else knows, and says something new now and then.
"""

from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from node.config import LAN
from node.protocol.roster import Member
from node.protocol.word import Word
from tests.sim.model import Model

NAMES = ("a", "b", "c", "d", "e", "f", "g")
AHEAD_MS_MAX = 10**9


class Weather:
    """Nodes that come, go, are cut off and say new things; all from one seed."""

    def __init__(self, seed: int, count: int) -> None:
        self.rng = Random(seed)
        self.model = Model(LAN, Random(seed + 1), delay_ms=20)
        self.names = NAMES[:count]
        self.said_ms: dict[str, list[int]] = {name: [] for name in self.names}
        self.lives = 0
        for name in self.names:
            self.start(name)

    def start(self, name: str) -> None:
        self.lives += 1
        before = self.model.nodes.get(name)
        known: dict[str, Member] = {}
        # As in `node.service.health`: the time of its start, or one more than what it remembers.
        incarnation = self.model.now_ms + self.lives
        if before is not None and self.rng.random() < 0.7:
            roster = before.membership.roster
            known = {
                node: Member(node, node, incarnation=roster[node].incarnation) for node in roster
            }
            incarnation = max(incarnation, before.membership.word.incarnation + 1)
        word = Word(name, "x", "s", 1, incarnation=incarnation, address=name, url=self.speak(name))
        self.model.start(
            name,
            word,
            known,
            tuple(known),
            away=tuple(known),
            run=self.lives,
            seeds=[other for other in self.names if other != name],
            ahead_ms=self.rng.randrange(AHEAD_MS_MAX),
        )

    def speak(self, name: str) -> str:
        """From now on it says something else; what it says is its number."""
        self.said_ms[name].append(self.model.now_ms)
        return str(len(self.said_ms[name]) - 1)

    def act(self) -> None:
        model, rng = self.model, self.rng
        name = rng.choice(self.names)
        node = model.nodes[name]
        what = rng.random()
        if what < 0.4 and node.up:
            node.word = replace(node.word, url=self.speak(name))
        elif what < 0.55:
            model.cut.add((name, rng.choice(self.names)))
        elif what < 0.65:
            others = rng.sample(self.names, rng.randrange(1, len(self.names)))
            model.cut |= {(a, b) for a in others for b in self.names if b not in others}
            model.cut |= {(b, a) for a, b in model.cut}
        elif what < 0.75:
            model.cut.clear()
        elif what < 0.85 and node.up:
            model.stop(name)
        elif not node.up:
            self.start(name)

    def check_bounds(self) -> None:
        """A word that is believed to have been current at some moment was replaced later."""
        for node in self.model.nodes.values():
            for member in node.membership.roster.values():
                if member.word is None or not node.up:
                    continue
                moment_ms = member.as_of_ms - node.ahead_ms
                said = self.said_ms[member.node]
                following = int(member.word.url) + 1
                assert moment_ms <= self.model.now_ms
                if following < len(said):
                    assert moment_ms <= said[following], (node.name, member.node)

    def make_peace(self) -> None:
        self.model.cut.clear()
        for name in self.names:
            if not self.model.nodes[name].up:
                self.start(name)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1 << 40), st.integers(2, 7))
def test_the_age_of_a_word_is_never_told_too_small(seed: int, count: int) -> None:
    weather = Weather(seed, count)
    for _ in range(30):
        weather.act()
        weather.model.run(weather.model.now_ms + weather.rng.randrange(3_000))
        weather.check_bounds()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1 << 40), st.integers(2, 7))
def test_after_the_last_fault_everybody_is_in_contact_and_knows_the_newest_word(
    seed: int, count: int
) -> None:
    weather = Weather(seed, count)
    for _ in range(25):
        weather.act()
        weather.model.run(weather.model.now_ms + weather.rng.randrange(6_000))
    weather.make_peace()
    # Seven are probed one in a period, and a link counts as cut until its own probe is answered.
    weather.model.run(weather.model.now_ms + 30 * LAN.period_ms)
    incarnations = set()
    for node in weather.model.nodes.values():
        roster = node.membership.roster
        assert sorted(roster) == [name for name in weather.names if name != node.name]
        for member in roster.values():
            other = weather.model.nodes[member.node]
            assert member.state == "alive", (node.name, member)
            assert member.word is not None and member.word.url == other.word.url
            assert member.node not in node.membership.cut
            assert node.ahead_ms + weather.model.now_ms - member.as_of_ms < 10 * LAN.period_ms
            incarnations.add((member.node, member.incarnation))
    assert len(incarnations) == len(weather.names), "all speak of the same incarnations"
