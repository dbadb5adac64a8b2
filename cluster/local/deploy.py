"""Deploy the services on a Ray cluster of this machine: tables, demo data, the dispatcher, then all applications.

``python -m cluster.local.deploy CONFIG FOLDER PORT`` then keeps running: it exits when the head is lost, so that it is
restarted and deploys again. FACET_* settings and Ray's address are read from the environment.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
import yaml

from cluster.local import demo_accounts
from data.kit import migrate
from data.kit.settings import SERVICES, DataSettings
from pricing_engine.distributed.actor import start_dispatcher, warm_workers
from pricing_engine.distributed.connect import connect

DASHBOARD = "FACET_RAY_DASHBOARD"
_START_INTERVAL_S, _WATCH_INTERVAL_S = 1.0, 5.0
"""Between two requests for the status of the applications: during the start, and afterwards, when each costs CPU."""
_HEAD_TIMEOUT_S = 60.0
"""Longer than Serve's controller takes to recover after a kill or a suspension."""
_MAX_MESSAGE = 2000


class DeployFailed(Exception):
    """An application could not be deployed; the message contains its name and the reason."""


def main(config: Path, folder: Path, port: int) -> None:
    """Deploy the services and keep running; raises DeployFailed."""
    settings = DataSettings()
    _print("migrating the databases")
    for service in SERVICES:
        migrate.up(settings.database_url(service), service)
    asyncio.run(demo_accounts.add(settings, folder))
    _print("connecting to Ray and starting the dispatcher")
    connect(os.environ["RAY_ADDRESS"])
    start_dispatcher(str(folder / "analyses"))
    warm_workers(max(1, int(ray.cluster_resources().get("CPU", 1))))
    _print("deploying the services")
    client = _serve_client(os.environ[DASHBOARD])
    client.deploy_applications(local_config(yaml.safe_load(config.read_text()), port))
    _wait(client.get_serve_details)
    _print("serving")
    _watch(client.get_serve_details)


def local_config(config: dict[str, Any], port: int) -> dict[str, Any]:
    """Adapt the configuration to one machine: its own address, and no reserved CPUs, since all services share a few."""
    for application in config["applications"]:
        for deployment in application["deployments"]:
            deployment["ray_actor_options"] = {"num_cpus": 0}
    address = {**config["http_options"], "host": "127.0.0.1", "port": port}
    return {**config, "proxy_location": "HeadOnly", "http_options": address}


def _serve_client(dashboard: str) -> Any:
    from ray.dashboard.modules.serve.sdk import ServeSubmissionClient

    return ServeSubmissionClient(dashboard)


def _wait(details: Callable[[], dict[str, Any]]) -> None:
    """Wait until every application runs; raises DeployFailed if one can't be deployed.

    An unhealthy application has run before, and Serve replaces its replicas.
    """
    unhealthy: set[str] = set()
    while True:
        applications = _applications(details)
        for name, application in applications.items():
            reason = application["message"].strip()[-_MAX_MESSAGE:]
            if application["status"] == "DEPLOY_FAILED":
                raise DeployFailed(f"{name} can't be deployed: {reason}")
            if application["status"] == "UNHEALTHY" and name not in unhealthy:
                unhealthy.add(name)
                _print(f"{name} is unhealthy: {reason}")
        if applications and all(application["status"] == "RUNNING" for application in applications.values()):
            return
        time.sleep(_START_INTERVAL_S)


def _watch(details: Callable[[], dict[str, Any]]) -> None:
    """Return once Ray's head has not answered for ``_HEAD_TIMEOUT_S``: then the deployment is lost."""
    last_reply = time.monotonic()
    while time.monotonic() < last_reply + _HEAD_TIMEOUT_S:
        time.sleep(_WATCH_INTERVAL_S)
        if _applications(details):
            last_reply = time.monotonic()


def _applications(details: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return the applications by name; empty while Serve's controller does not answer."""
    try:
        return dict(details()["applications"])
    except Exception as error:  # the client raises many kinds of connection errors
        _print(f"Ray's head does not answer ({type(error).__name__})")
        return {}


def _print(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
    except DeployFailed as failure:
        sys.exit(str(failure))
    finally:
        ray.shutdown()
