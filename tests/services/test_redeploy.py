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
from tests.support.stack import Stack, eventually

DEPLOY = (
    "import sys, yaml; from ray.dashboard.modules.serve.sdk import ServeSubmissionClient as Client; "
    "Client(sys.argv[1]).deploy_applications(yaml.safe_load(sys.stdin))"
)


def test_no_request_fails_while_a_service_is_replaced(stack: Stack) -> None:
    before = stack.http.get("/shop/healthz").json()["pid"]
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
        eventually(lambda: stack.http.get("/shop/healthz").json()["pid"] != before or None, "a new replica", 120)
        eventually(
            lambda: len({stack.http.get("/shop/healthz").json()["pid"] for _ in range(20)}) == 1 or None, "one", 60
        )
    finally:
        stopped.set()
        for sender in senders:
            sender.join()
    assert failures == []
    assert requests[0] > 20


def deploy(stack: Stack, config: dict[str, object]) -> None:
    dashboard = stack.status()["ray_dashboard"]
    folder = stack.folder / ".facet" / "stack"
    environment = {name: value for name, value in client_environment(Path(folder / "ray-token")).items() if value}
    subprocess.run(
        [sys.executable, "-c", DEPLOY, dashboard], input=yaml.safe_dump(config), text=True, env=environment, check=True
    )
