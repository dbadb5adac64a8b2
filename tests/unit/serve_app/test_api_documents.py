"""The OpenAPI documents of all services help a client who never saw the code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from serve_app.services import PREFIXES, application, root

MIN_DESCRIPTION = 20
Operation = dict[str, Any]


def document(service: str) -> dict[str, Any]:
    """Return a service's document; the root application serves its own through one for all."""
    return (root() if service == "root" else application(service)).openapi()


DOCUMENTS = {service: document(service) for service in (*PREFIXES, "root")}


def operations() -> Iterator[tuple[str, Operation]]:
    for service, openapi in DOCUMENTS.items():
        for path, item in openapi["paths"].items():
            for method, operation in item.items():
                yield f"{service} {method.upper()} {path}", operation


OPERATIONS = dict(operations())


def test_every_service_has_operations() -> None:
    assert {name.split()[0] for name in OPERATIONS} == {*PREFIXES, "root"}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_has_a_summary_and_a_description(name: str) -> None:
    summary, description = OPERATIONS[name].get("summary", ""), OPERATIONS[name].get("description", "")
    assert len(summary.split()) > 1, "a summary is a phrase in the imperative"
    assert summary[0].isupper()
    assert not summary.endswith(".")
    assert len(description) >= MIN_DESCRIPTION


@pytest.mark.parametrize("name", OPERATIONS)
def test_responses_and_parameters_are_described(name: str) -> None:
    for status, response in OPERATIONS[name]["responses"].items():
        assert response["description"] not in ("", "Successful Response"), status
    for parameter in OPERATIONS[name].get("parameters", []):
        if parameter["in"] != "path":
            assert parameter.get("description"), parameter["name"]


def test_operation_ids_are_unique() -> None:
    for service in DOCUMENTS:
        ids = [operation["operationId"] for name, operation in OPERATIONS.items() if name.startswith(f"{service} ")]
        assert len(ids) == len(set(ids))


OWN_SCHEMAS = {
    f"{service} {title}": schema
    for service, openapi in DOCUMENTS.items()
    for title, schema in openapi.get("components", {}).get("schemas", {}).items()
    if not title.startswith(("HTTPValidationError", "ValidationError"))
}


@pytest.mark.parametrize("name", OWN_SCHEMAS)
def test_fields_of_schemas_are_described(name: str) -> None:
    undescribed = [
        field for field, schema in OWN_SCHEMAS[name].get("properties", {}).items() if not schema.get("description")
    ]
    assert undescribed == []
