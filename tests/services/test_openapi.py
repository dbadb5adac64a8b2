"""What the OpenAPI document promises is what is answered, whatever is asked: schemathesis makes requests that fit the
document and others that do not, and sends each as everybody who may.

`FACET_FUZZ=long` makes many more of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.specs.openapi.schemas import OpenApiSchema

from tests.services.stack import Stack, eventually
from tests.services.test_roles import MAY, NOBODY

EXAMPLES = 250 if os.environ.get("FACET_FUZZ") == "long" else 5
"""Of each operation, role and kind of request."""
CHECKS: list[Callable[..., Any]] = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
    response_headers_conformance,
]  # fmt: skip
TIMEOUT_S = 30
OPERATIONS = [each for each in MAY if not each.endswith(("/healthz", "/readyz"))] + ["GET /healthz", "GET /shop/readyz"]
"""All but the same question to each service."""


@pytest.fixture(scope="module")
def document(stack: Stack) -> OpenApiSchema:
    """The running stack's document."""
    return schemathesis.openapi.from_url(f"{stack.url}/openapi.json")


@pytest.fixture(scope="module")
def known(stack: Stack, band: bytes) -> dict[str, list[str]]:
    """Ids that are there, by the name of the parameter; `...events`: those whose streams end."""

    def begun() -> str:
        return str(stack.post("/shop/orders", "customer", json={"material": "brass"}).json()["order_id"])

    def quote(model: bytes) -> str:
        wanted: dict[str, Any] = {"data": {"material": "brass"}, "files": {"model": ("a.stl", model)}}
        answer = stack.post("/pricing/quotes", "partner", headers={"Prefer": "wait=30"}, **wanted)
        return str(answer.raise_for_status().json()["quote_id"])

    placed, uploaded, over = stack.order(band), begun(), begun()
    stack.put(f"/shop/orders/{uploaded}/model", "customer", files={"model": ("a.stl", band)}).raise_for_status()
    stack.post(f"/shop/orders/{over}/cancel", "customer", json={"reason": "a test"}).raise_for_status()
    stack.reaches(over, "CANCELLED")
    stack.reaches(placed, "PRICE_CALCULATED")
    approved = f"/crm/orders/{placed}/approve"
    eventually(lambda: stack.post(approved, "seller").is_success or None, "the seller can approve it")
    eventually(lambda: stack.get(f"/mes/orders/{placed}", "operator").is_success or None, "it is on the board")
    webhook = stack.post("/partners/v1/webhooks", "partner", json={"url": "http://127.0.0.1:9/", "types": None}).json()
    quotes = [quote(band), quote(b"not a model")]
    return {
        "order_id": [placed, begun(), uploaded, over],
        "order_id events": [over],
        "product_id": [stack.http.get("/shop/products").json()["items"][0]["product_id"]],
        "quote_id": quotes,
        "quote_id events": quotes,
        "webhook_id": [webhook["webhook_id"]],
        "key_id": [stack.post("/partners/v1/keys", "partner").json()["key_id"]],
    }


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_answers_are_as_documented(
    stack: Stack, document: OpenApiSchema, known: dict[str, list[str]], operation: str, mode: GenerationMode
) -> None:
    method, path = operation.split()
    asked = document[path][method]
    if mode is GenerationMode.NEGATIVE and not (asked.path_parameters or asked.query or asked.headers or asked.body):
        pytest.skip("there is nothing about it that could be wrong")
    whoever = [NOBODY] if NOBODY in MAY[operation] else sorted(MAY[operation])
    for who in whoever:
        ask(stack, asked, mode, {} if who == NOBODY else stack.as_user(who), known)


def ask(
    stack: Stack, asked: APIOperation, mode: GenerationMode, headers: dict[str, str], known: dict[str, list[str]]
) -> None:
    """Make requests of one operation with somebody's ``headers``, and check what is answered."""
    session = requests.Session()

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=asked.as_strategy(generation_mode=mode), data=st.data())
    def fits(case: Case, data: st.DataObject) -> None:
        meet_what_is_there(case, data, known)
        case.call_and_validate(stack.url, session, headers, checks=CHECKS, timeout=TIMEOUT_S)

    fits()


def meet_what_is_there(case: Case, data: st.DataObject, known: dict[str, list[str]]) -> None:
    """Put ids of rows that are there, and a material that is offered, into some of the requests: chance finds none.

    Streams of events get ids of what is over, whose streams end; those of an order that goes on would last.
    """
    for name in case.path_parameters or ():
        idents = known.get(f"{name} events" if case.path.endswith("/events") else name)
        if idents and data.draw(st.booleans(), "an id that is there"):
            case.path_parameters[name] = data.draw(st.sampled_from(idents))
    if isinstance(case.body, dict) and "material" in case.body and data.draw(st.booleans(), "a material that is there"):
        case.body["material"] = "brass"
        case.body.pop("process", None)
        case.body.pop("finish", None)
