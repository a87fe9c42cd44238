"""Plans survive being written down; anything else is refused with the field's name."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zring.area import Box
from zring.domain import DEMO_DOMAIN
from zring.errors import InvalidDocument
from zring.plan import Plan, plan_assign, plan_join, plan_leave, plan_remove, plan_settings
from zring.plan_document import document_to_plan, plan_to_document
from zring.ring import Settings, founding_ring

RING = founding_ring("demo", DEMO_DOMAIN, 8, ["n1", "n2", "n3", "n4"], Settings(replicas=1))
PLANS = (
    plan_join(RING, "n5", policy="halve"),
    plan_leave(RING, "n2"),
    plan_remove(RING, "n3"),
    plan_assign(RING, Box.from_degrees(west=135.1, south=33.1, east=135.4, north=33.3), "n4"),
    plan_settings(RING, replicas=2, archives=("hub",)),
)


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.kind)
def test_a_plan_survives_json(plan: Plan) -> None:
    assert document_to_plan(json.loads(json.dumps(plan_to_document(plan)))) == plan


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("version", 2, "version"),
        ("kind", "steal", "kind"),
        ("moves", "all", "moves"),
        ("moves", [{"start": "0", "stop": "0", "source": "n1", "target": "n2"}], "span"),
        ("moves", [{"start": 0, "stop": 4, "source": "n1", "target": "n2"}], "span"),
        ("moves", [{"start": "0", "stop": "4", "source": "", "target": "n2"}], "name"),
        ("records", -1, "records"),
        ("records", True, "records"),
        ("imbalance_after", "much", "imbalance_after"),
        ("at_risk", [["1"]], "span"),
        ("ring_digest", "12", "ring_digest"),
        ("settings", {"epoch": 1}, "archives"),
    ],
)
def test_a_wrong_field_is_named(field: str, value: Any, words: str) -> None:
    document = {**plan_to_document(PLANS[0]), field: value}
    with pytest.raises(InvalidDocument, match=words):
        document_to_plan(document)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(plan_to_document(PLANS[0]))), _JSON))
def test_any_document_reads_or_is_refused(changes: dict[str, Any]) -> None:
    try:
        plan = document_to_plan({**plan_to_document(PLANS[0]), **changes})
    except InvalidDocument:
        return
    assert document_to_plan(plan_to_document(plan)) == plan
