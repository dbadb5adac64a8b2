"""The services on a Ray cluster of this machine: tables, first rows, the dispatcher, then Serve with every application.

``python -m cluster.local.deploy CONFIG FOLDER PORT`` does all that and stays, since a cluster whose head was
started anew needs it again; FACET_* settings and Ray's address come from the environment.
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
from data.kit.settings import SERVICES, Settings
from pricing_engine.distributed.actor import start_dispatcher, warm_workers
from pricing_engine.distributed.connect import connect

DASHBOARD = "FACET_RAY_DASHBOARD"
_LOOK_EVERY_S = 1.0
_AWAY_AT_MOST_S = 60.0
"""Longer than Serve's controller takes to answer again after it was killed or stood still."""
_LONGEST_MESSAGE = 2000


class NotServing(Exception):
    """An application could not be deployed: says which and why."""


def main(config: Path, folder: Path, port: int) -> None:
    """Bring the services up and stay; raises NotServing."""
    settings = Settings()
    _say("bringing the databases to their newest tables")
    for service in SERVICES:
        migrate.up(settings.database_url(service), service)
    asyncio.run(demo_accounts.add(settings, folder))
    _say("joining Ray and starting the dispatcher")
    connect(os.environ["RAY_ADDRESS"])
    start_dispatcher(str(folder / "analyses"))
    warm_workers(max(1, int(ray.cluster_resources().get("CPU", 1))))
    _say("deploying the services")
    client = _serve_client(os.environ[DASHBOARD])
    client.deploy_applications(local(yaml.safe_load(config.read_text()), port))
    _wait(client.get_serve_details)
    _say("serving")
    _stay(client.get_serve_details)


def local(config: dict[str, Any], port: int) -> dict[str, Any]:
    """The configuration for one machine: its own address, and no CPU reserved, for here all services share a few."""
    for application in config["applications"]:
        for deployment in application["deployments"]:
            deployment["ray_actor_options"] = {"num_cpus": 0}
    address = {**config["http_options"], "host": "127.0.0.1", "port": port}
    return {**config, "proxy_location": "HeadOnly", "http_options": address}


def _serve_client(dashboard: str) -> Any:
    from ray.dashboard.modules.serve.sdk import ServeSubmissionClient

    return ServeSubmissionClient(dashboard)


def _wait(details: Callable[[], dict[str, Any]]) -> None:
    """Wait until every application runs; raises NotServing where one can't be deployed.

    One that is unhealthy has run before, and Serve replaces its replicas.
    """
    unhealthy: set[str] = set()
    while True:
        applications = _applications(details)
        for name, application in applications.items():
            why = application["message"].strip()[-_LONGEST_MESSAGE:]
            if application["status"] == "DEPLOY_FAILED":
                raise NotServing(f"{name} can't be served: {why}")
            if application["status"] == "UNHEALTHY" and name not in unhealthy:
                unhealthy.add(name)
                _say(f"{name} is unhealthy: {why}")
        if applications and all(application["status"] == "RUNNING" for application in applications.values()):
            return
        time.sleep(_LOOK_EVERY_S / 4)


def _stay(details: Callable[[], dict[str, Any]]) -> None:
    """Return when Ray's head has not answered for a while: then all that was deployed is gone."""
    answered = time.monotonic()
    while time.monotonic() < answered + _AWAY_AT_MOST_S:
        time.sleep(_LOOK_EVERY_S)
        if _applications(details):
            answered = time.monotonic()


def _applications(details: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The applications by name; none while Serve's controller can't say."""
    try:
        return dict(details()["applications"])
    except Exception as error:  # the client raises whatever went wrong with the connection
        _say(f"Ray's head does not answer ({type(error).__name__})")
        return {}


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
    except NotServing as failure:
        sys.exit(str(failure))
    finally:
        ray.shutdown()
