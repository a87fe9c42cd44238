"""Claims of a node that changes its ring, loses its store or is told to live with the loss."""

from node.protocol.filled import document_to_claim
from node.protocol.rules import ALL_RULES
from node.query import Query
from node.service.holding import META_FILLED, META_RING, Holding
from node.storage.memory_engine import MemoryEngine
from tests.unit.node.service.conftest import Bench, Play, make_rows
from zring.domain import DEMO_DOMAIN
from zring.morton import CODE_STOP
from zring.ring import Ring, Settings, founding_ring, from_document
from zring.span import EVERYTHING, subtract

NAMES = ("n1", "n2", "n3", "n4")
GRAIN = CODE_STOP // 256


def ring() -> Ring:
    return founding_ring("sim", DEMO_DOMAIN, 4, NAMES, Settings(replicas=1))


def test_ring_and_claim_are_stored_together_and_read_back(play: Play) -> None:
    async def story(_: Bench) -> None:
        engine = MemoryEngine(domain=DEMO_DOMAIN)
        holding = Holding(node_id="n1", ring=ring(), engine=engine, rules=ALL_RULES)
        await holding.store_first()
        assert holding.filled.claim.birth and holding.filled.spans == holding.held
        far = ((200 * GRAIN, 201 * GRAIN),)
        before, sequence = holding.ring.digest(), engine.sequence
        seen = []
        holding.followers.append(seen.append)
        assert await holding.change(ring().assign(far, owner="n1"))
        assert engine.sequence == sequence + 1, "one transaction"
        assert not await holding.change(ring()), "rings only move forward"
        assert subtract(far, holding.filled.spans) == far, "won by a change of the ring"
        assert not subtract(far, holding.held) and not subtract(far, seen[0].gained["n1"])
        assert holding.gained[before]["n1"] == seen[0].gained["n1"]
        assert not await holding.fill(far, ring_digest=before), "verified under another ring"
        assert await holding.fill(far, ring_digest=holding.ring.digest())
        stored = document_to_claim(engine.read_meta(META_FILLED))
        assert stored == holding.filled.claim and not stored.birth
        document = engine.read_meta(META_RING)
        assert document is not None and from_document(document) == holding.ring
        again = Holding(node_id="n1", ring=ring(), engine=engine, rules=ALL_RULES)
        assert again.ring == holding.ring and again.filled.claim == holding.filled.claim

    play(story)


def test_only_a_founding_ring_gives_a_claim_by_birth() -> None:
    later = ring().assign(((0, GRAIN),), owner="n3")
    engine = MemoryEngine(domain=DEMO_DOMAIN)
    assert Holding(node_id="n1", ring=later, engine=engine, rules=ALL_RULES).filled.spans == ()
    newcomer = Holding(node_id="new", ring=ring(), engine=engine, rules=ALL_RULES)
    assert newcomer.filled.spans == () and not newcomer.filled.claim.birth


def test_without_a_filled_holder_answers_are_partial_until_a_person_accepts_the_loss(
    play: Play,
) -> None:
    async def story(bench: Bench) -> None:
        await bench.service("n1").write("weather", make_rows(40), "all")
        await bench.wait_settled()
        node = bench.cluster.nodes["n2"]
        await node.crash()
        node.wipe()
        await node.start()
        first = bench.service("n1")
        await bench.wait_until(lambda: first.status().coverage.state == "partial")
        answer = await first.read(Query("weather"))
        assert answer.coverage.state == "partial"
        assert tuple(answer.coverage.missing) == first.ring.owned("n2")
        # Where somebody is filled there is nothing to accept.
        assert await first.accept_loss(EVERYTHING) == ()
        assert await bench.service("n2").accept_loss(EVERYTHING) == first.ring.owned("n2")
        await bench.wait_until(lambda: first.status().coverage.state == "complete")
        rows = (await first.read(Query("weather"))).rows
        assert 0 < len(rows) < 40, "what only the lost disk had is gone"

    play(story, nodes=2, replicas=0)
