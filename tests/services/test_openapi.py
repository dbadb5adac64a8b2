"""Responses conform to the OpenAPI document.

Schemathesis generates requests that match the document and others that do not, and sends each as every permitted role.

`FACET_FUZZ=long` makes many more of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.specs.openapi.schemas import OpenApiSchema

from tests.support.permissions import ANONYMOUS, PERMITTED
from tests.support.stack import Stack
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from schemathesis.specs.openapi.schemas import OpenApiCase, OpenApiOperation

EXAMPLES = 250 if os.environ.get("FACET_FUZZ") == "long" else 5
"""Of each operation, role and kind of request."""
CHECKS: list[Callable[..., Any]] = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
    response_headers_conformance,
]  # fmt: skip
TIMEOUT_S = 30
OPERATIONS = [each for each in PERMITTED if not each.endswith(("/healthz", "/readyz"))] + [
    "GET /healthz",
    "GET /shop/readyz",
]
"""All operations, but the health checks of one service only."""


@pytest.fixture(scope="module")
def document(stack: Stack) -> OpenApiSchema:
    """Return the running stack's document."""
    return schemathesis.openapi.from_url(f"{stack.url}/openapi.json")


@pytest.fixture(scope="module")
def existing(stack: Stack, band: bytes) -> dict[str, list[str]]:
    """Return existing ids by the name of the parameter; `...events`: those whose streams end."""

    def initiated() -> str:
        return str(stack.post("/shop/orders", "customer", json={"material": "brass"}).json()["order_id"])

    def quote(model: bytes) -> str:
        request: dict[str, Any] = {"data": {"material": "brass"}, "files": {"model": ("a.stl", model)}}
        answer = stack.post("/pricing/quotes", "partner", headers={"Prefer": "wait=30"}, **request)
        return str(answer.raise_for_status().json()["quote_id"])

    placed, uploaded, cancelled = stack.order(band), initiated(), initiated()
    stack.put(f"/shop/orders/{uploaded}/model", "customer", files={"model": ("a.stl", band)}).raise_for_status()
    stack.post(f"/shop/orders/{cancelled}/cancel", "customer", json={"reason": "a test"}).raise_for_status()
    stack.reaches(cancelled, "CANCELLED")
    stack.reaches(placed, "PRICE_CALCULATED")
    approved = f"/crm/orders/{placed}/approve"
    wait_until(lambda: stack.post(approved, "seller").is_success, what="the seller can approve it")
    wait_until(lambda: stack.get(f"/mes/orders/{placed}", "operator").is_success, what="it is on the board")
    webhook = stack.post("/partners/v1/webhooks", "partner", json={"url": "http://127.0.0.1:9/", "types": None}).json()
    quotes = [quote(band), quote(b"not a model")]
    return {
        "order_id": [placed, initiated(), uploaded, cancelled],
        "order_id events": [cancelled],
        "product_id": [stack.http.get("/shop/products").json()["items"][0]["product_id"]],
        "quote_id": quotes,
        "quote_id events": quotes,
        "webhook_id": [webhook["webhook_id"]],
        "key_id": [stack.post("/partners/v1/keys", "partner").json()["key_id"]],
    }


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_responses_are_as_documented(
    stack: Stack, document: OpenApiSchema, existing: dict[str, list[str]], operation: str, mode: GenerationMode
) -> None:
    method, path = operation.split()
    operation_spec = document[path][method]
    if mode is GenerationMode.NEGATIVE and not (
        operation_spec.path_parameters or operation_spec.query or operation_spec.headers or operation_spec.body
    ):
        pytest.skip("the operation takes no input that could be invalid")
    roles = [ANONYMOUS] if ANONYMOUS in PERMITTED[operation] else sorted(PERMITTED[operation])
    for who in roles:
        send_requests(stack, operation_spec, mode, {} if who == ANONYMOUS else stack.as_user(who), existing)


def send_requests(
    stack: Stack,
    operation_spec: OpenApiOperation,
    mode: GenerationMode,
    headers: dict[str, str],
    existing: dict[str, list[str]],
) -> None:
    """Send requests of one operation with ``headers`` of a role, and check the responses."""
    session = requests.Session()

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation_spec.as_strategy(generation_mode=mode), data=st.data())
    def fits(case: OpenApiCase, data: st.DataObject) -> None:
        use_existing_ids(case, data, existing)
        case.call_and_validate(stack.url, session, headers, checks=CHECKS, timeout=TIMEOUT_S)

    fits()


def use_existing_ids(case: OpenApiCase, data: st.DataObject, existing: dict[str, list[str]]) -> None:
    """Put ids of existing rows, and an offered material, into some of the requests: random values match none.

    Event streams get ids of finished objects, whose streams end; the stream of an active order would last.
    """
    for name in case.path_parameters or ():
        ids = existing.get(f"{name} events" if case.path.endswith("/events") else name)
        if ids and data.draw(st.booleans(), "an existing id"):
            case.path_parameters[name] = data.draw(st.sampled_from(ids))
    if isinstance(case.body, dict) and "material" in case.body and data.draw(st.booleans(), "an offered material"):
        case.body["material"] = "brass"
        case.body.pop("process", None)
        case.body.pop("finish", None)
