"""One OpenAPI document of all services: their paths under their prefixes, their schemas under their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from data.version import PRODUCT_VERSION

_SCHEMAS = "#/components/schemas/"


def build_openapi(services: Mapping[str, tuple[str, FastAPI]]) -> dict[str, Any]:
    """Return the document; ``services``: a service's name -> its prefix and application."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    security: dict[str, Any] = {}
    for name, (prefix, app) in services.items():
        document = app.openapi()
        for path, item in document["paths"].items():
            paths[prefix + path] = _renamed(item, name)
        for title, schema in document.get("components", {}).get("schemas", {}).items():
            schemas[f"{name}.{title}"] = _renamed(schema, name)
        security |= document.get("components", {}).get("securitySchemes", {})
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Facet",
            "version": PRODUCT_VERSION,
            "description": "Prices 3D models and processes orders from upload to shipment.",
        },
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": security},
    }


def _renamed(node: Any, name: str) -> Any:
    """Return ``node`` with references to the service's own schemas, and operation ids that no other service has."""
    if isinstance(node, dict):
        return {key: _value(key, value, name) for key, value in node.items()}
    if isinstance(node, list):
        return [_renamed(each, name) for each in node]
    return node


def _value(key: str, value: Any, name: str) -> Any:
    if isinstance(value, str):
        if key == "$ref" and value.startswith(_SCHEMAS):
            return f"{_SCHEMAS}{name}.{value.removeprefix(_SCHEMAS)}"
        return f"{name}_{value}" if key == "operationId" else value
    return _renamed(value, name)
