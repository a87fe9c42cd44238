"""Requests made from the OpenAPI document, right and wrong: never a 5xx, never a hang.

Schemathesis draws them; wrong ones break the document on purpose. Every error must be a problem
document, every answer must be of a kind that the document names.
"""

import http.client
import string
from typing import Any
from urllib.parse import quote

import orjson
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

from node.api.openapi import openapi_document
from node.api.parameters import PARAMETERS
from node.api.routes import ROUTES as TABLE_OF_ROUTES
from node.codec.decode import DECODERS

from .conftest import Served

QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much]


OPERATIONS = {
    result.ok().label: result.ok()
    for result in schemathesis.openapi.from_dict(
        openapi_document(TABLE_OF_ROUTES)
    ).get_all_operations()
}


ENDLESS = "GET /collections/{collection}/stream"
assert ENDLESS in OPERATIONS
CASES = [(label, GenerationMode.POSITIVE) for label in sorted(OPERATIONS)] + [
    (label, GenerationMode.NEGATIVE)
    for label, operation in sorted(OPERATIONS.items())
    if len(operation.query) or operation.body
]


@pytest.mark.parametrize(("label", "mode"), CASES)
@given(data=st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=QUIET, phases=[Phase.generate])
def test_requests_from_the_document(
    node: Served, label: str, mode: GenerationMode, data: st.DataObject
) -> None:
    case = data.draw(OPERATIONS[label].as_strategy(generation_mode=mode))
    if "collection" in case.path_parameters and data.draw(st.booleans()):
        case.path_parameters["collection"] = "amedas" if case.method == "GET" else "drawn"
    if label == ENDLESS:
        case.method = "HEAD"  # it is checked all the same, and then it ends
    response = case.call(base_url=node.url, timeout=60)
    assert response.status_code < 500, response.text
    if response.status_code >= 400 and case.method != "HEAD":
        assert response.headers["content-type"] == ["application/problem+json"]
        assert response.json()["detail"]
    case.validate_response(response, checks=[status_code_conformance, content_type_conformance])


ROUTES = [
    "/",
    "/collections",
    "/collections/amedas",
    "/collections/amedas/items",
    "/collections/amedas/items/65000.0.0",
    "/collections/amedas/latest",
    "/collections/amedas/nearest",
    "/collections/amedas/within",
    "/collections/amedas/aggregate",
    "/collections/amedas/explain",
    "/cluster/ring",
    "/cluster/status",
]
NUMBERS = st.floats(allow_nan=True).map(repr) | st.integers().map(str)
PIECES = (
    NUMBERS
    | st.text(max_size=12)
    | st.lists(NUMBERS, max_size=7).map(",".join)
    | st.sampled_from(
        [
            "135,33,136.6,34.6",
            "2023-07-13T05:00:00Z",
            "../2023-07-13T05:00:00Z",
            "temp > 20",
            "sensor in ('65000','65001') and temp between 1 and 30",
            "note like 'd%'",
            "POLYGON((135 33,136 33,136 34,135 33))",
            "PT1H",
            "4",
            "all",
            "arrow",
            "csv",
            "0-4611686018427387904",
        ]
    )
)
NAMES = st.sampled_from(sorted(PARAMETERS)) | st.text(string.printable, max_size=6)


def exchange(node: Served, method: str, target: str, **options: Any) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection(node.url.removeprefix("http://"), timeout=60)
    try:
        connection.request(method, target, **options)
        response = connection.getresponse()
        return response.status, response.getheader("Content-Type", ""), response.read()
    finally:
        connection.close()


@given(
    route=st.sampled_from(ROUTES),
    pairs=st.lists(st.tuples(NAMES, PIECES), max_size=4),
    method=st.sampled_from(["GET", "GET", "GET", "HEAD", "OPTIONS", "PUT", "DELETE"]),
)
@settings(max_examples=300, deadline=None, suppress_health_check=QUIET)
def test_random_query_strings(
    node: Served, route: str, pairs: list[tuple[str, str]], method: str
) -> None:
    query = "&".join(
        f"{quote(name.encode('utf-8', 'replace'))}={quote(text.encode('utf-8', 'replace'))}"
        for name, text in pairs
    )
    status, kind, body = exchange(node, method, f"{route}?{query}")
    assert status < 500, body
    if status >= 400 and method != "HEAD":
        assert kind.startswith("application/problem+json")
        assert orjson.loads(body)["detail"]


@given(body=st.binary(max_size=300), kind=st.sampled_from(sorted(DECODERS)) | st.text(max_size=8))
@settings(max_examples=100, deadline=None, suppress_health_check=QUIET)
def test_random_bodies(node: Served, body: bytes, kind: str) -> None:
    header = kind.encode("ascii", "ignore").decode().translate({10: None, 13: None, 0: None})
    printable = "".join(letter for letter in header if letter.isprintable())
    for target in ("/collections/random/items?w=all", "/collections/amedas/within?limit=3"):
        status, answer, text = exchange(
            node, "POST", target, body=body, headers={"Content-Type": printable}
        )
        if status == 200:  # blank lines or an empty list: nothing received, nothing stored
            assert orjson.loads(text)["received"] == 0
            continue
        assert 400 <= status < 500, text
        assert answer.startswith("application/problem+json")
