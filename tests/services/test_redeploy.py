"""A changed service is replaced replica by replica from the configuration file: no request fails meanwhile."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import yaml

from cluster.local.deploy import local_config
from cluster.local.ray_nodes import client_environment
from cluster.local.serve_part import CONFIG
from tests.support.stack import Stack
from tests.support.waiting import wait_until

DEPLOY = (
    "import sys, yaml; from ray.dashboard.modules.serve.sdk import ServeSubmissionClient as Client; "
    "Client(sys.argv[1]).deploy_applications(yaml.safe_load(sys.stdin))"
)


def test_no_request_fails_while_a_service_is_replaced(stack: Stack) -> None:
    before = replica(stack)
    stopped, requests, failures = threading.Event(), [0], []

    def send() -> None:
        while not stopped.is_set():
            answer = stack.http.get("/shop/products")
            requests[0] += 1
            if not answer.is_success:
                failures.append((answer.status_code, answer.text))

    senders = [threading.Thread(target=send) for _ in range(4)]
    for sender in senders:
        sender.start()
    try:
        config = local_config(yaml.safe_load(CONFIG.read_text()), int(stack.url.rpartition(":")[2]))
        shop = next(application for application in config["applications"] if application["name"] == "shop")
        shop["runtime_env"] = {"env_vars": {"FACET_TOKEN_LIFETIME_S": "1800"}}
        deploy(stack, config)
        wait_until(lambda: replica(stack) != before, timeout_s=120, what="a new replica responds")
        wait_until(lambda: len({replica(stack) for _ in range(20)}) == 1, what="only the new replica responds")
    finally:
        stopped.set()
        for sender in senders:
            sender.join()
    assert failures == []
    assert requests[0] > 20


def replica(stack: Stack) -> int:
    """Return the process id of a replica of the shop."""
    return int(stack.http.get("/shop/healthz").json()["pid"])


def deploy(stack: Stack, config: dict[str, object]) -> None:
    dashboard = stack.status()["ray_dashboard"]
    folder = stack.folder / ".facet" / "stack"
    environment = {name: value for name, value in client_environment(Path(folder / "ray-token")).items() if value}
    subprocess.run(
        [sys.executable, "-c", DEPLOY, dashboard], input=yaml.safe_dump(config), text=True, env=environment, check=True
    )
