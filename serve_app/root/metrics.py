"""Prometheus metrics of the whole cluster on one page: the pages of all nodes, merged."""

from __future__ import annotations

import asyncio

import httpx
import ray
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector, CollectorRegistry

_TIMEOUT_S = 3.0
_PREFIXES = ("ray_facet_", "ray_serve_", "serve_", "facet_")


class _MergedFamilies(Collector):
    def __init__(self, families: dict[str, Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return list(self._families.values())


async def page() -> bytes:
    """Return the metrics of Facet and of Serve of every living node; a node that does not answer is left out."""
    urls = [f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics" for node in _living_nodes()]
    async with httpx.AsyncClient(timeout=_TIMEOUT_S) as client:
        texts = await asyncio.gather(*(_fetch(client, url) for url in urls))
    return await asyncio.to_thread(_merge, texts)


def _living_nodes() -> list[dict[str, object]]:
    return [node for node in ray.nodes() if node["Alive"] and node.get("MetricsExportPort")]


async def _fetch(client: httpx.AsyncClient, url: str) -> str:
    try:
        return (await client.get(url)).raise_for_status().text
    except httpx.HTTPError:
        return ""


def _merge(texts: list[str]) -> bytes:
    families: dict[str, Metric] = {}
    for text in texts:
        for family in text_string_to_metric_families(text):
            if family.name.startswith(_PREFIXES):
                families.setdefault(family.name, family).samples.extend(
                    [] if families[family.name] is family else family.samples
                )
    registry = CollectorRegistry()
    registry.register(_MergedFamilies(families))
    return generate_latest(registry)
