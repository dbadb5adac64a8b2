"""Price a sample model on the cluster at argv[1], one task on each of argv[2] worker nodes; print one JSON object.

Run on a machine of the cluster, with the cluster's token in the environment.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ray

from pricing_engine.analysis.measure import Settings, measure
from pricing_engine.mesh.samples import SAMPLES
from pricing_engine.pricing.book import load_price_book
from pricing_engine.pricing.quote import Request, quote

SAMPLE = "band"
LAYER_HEIGHT_MM = 0.2
NODES_TIMEOUT_S = 90


def price() -> dict[str, Any]:
    """Return the quote of the sample model in silver, as ``facet quote --json`` prints it."""
    with tempfile.TemporaryDirectory() as folder:
        path = SAMPLES[SAMPLE]().write_stl(Path(folder))
        analysis = measure(path, None, Settings(layer_height_mm=LAYER_HEIGHT_MM), threads=1).analysis
    return quote(analysis, load_price_book(None), Request("casting", ["silver-925"], None, (1,))).to_dict()


def workers() -> list[dict[str, Any]]:
    """Return the alive nodes that take tasks."""
    return [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]


def main(address: str, node_count: int) -> None:
    """Wait for the nodes, price on each, print the quotes by node."""
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    deadline = time.monotonic() + NODES_TIMEOUT_S
    while len(workers()) < node_count and time.monotonic() < deadline:
        time.sleep(0.2)
    task = ray.remote(num_cpus=1)(price)
    quotes = {
        node["NodeManagerAddress"]: task.options(label_selector={"ray.io/node-id": node["NodeID"]}).remote()
        for node in workers()
    }
    print(json.dumps({address: ray.get(quoted) for address, quoted in quotes.items()}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
