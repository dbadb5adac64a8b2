"""``ray up`` with provider ``local`` over ssh, on simulated machines: up, price, scale, down, no process remains."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.local import sessions
from tests.integration.cluster.machines import HOME, SHARED_PATHS, Machine, machines, obstacle
from tests.integration.pricing_engine import priced_on_ray
from tests.support.paths import ROOT

OBSTACLE = obstacle()
pytestmark = pytest.mark.skipif(OBSTACLE is not None, reason=f"ray up needs machines, and {OBSTACLE}")

# Ray's newer autoscaler has no provider `local`: it would start a head that never adds a worker.
RAY = "RAY_UP_enable_autoscaler_v2=0 RAY_USAGE_STATS_ENABLED=0 ray"
# A raylet without its head exits after this long; Ray's default of a minute would only lengthen the test.
GIVE_UP_S = 5
CLUSTER_ENVIRONMENT = f"RAY_gcs_rpc_server_reconnect_timeout_s={GIVE_UP_S}\n"
SCRIPT = Path(priced_on_ray.__file__)
# The environment of a program on one of the machines that connects to the cluster.
JOIN = "RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=~/facet/cluster/auth_token PYTHONPATH=~/facet/release"


def cluster_file(head: Machine, workers: list[Machine], min_workers: int) -> str:
    """Return the shipped file for on-premise machines, with these machines and an offline set-up."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "ray-cluster.local.yaml").read_text())
    config["provider"] |= {"head_ip": head.ip, "worker_ips": [worker.ip for worker in workers]}
    config["auth"] |= {"ssh_user": "root", "ssh_private_key": "~/.ssh/id"}
    config |= {"min_workers": min_workers, "max_workers": len(workers)}
    del config["file_mounts"]["~/facet/release"]
    config["setup_commands"] = [
        f"mkdir -p ~/facet && ln -sfn {shlex.quote(str(ROOT))} ~/facet/release",
        f"ln -sfn {shlex.quote(sys.prefix)} ~/facet/venv",
    ]
    # The kernels are already compiled in the checkout.
    for phase in ("head_start_ray_commands", "worker_start_ray_commands"):
        config[phase] = [command.replace("NUMBA_CACHE_DIR=~/facet/numba-cache", "") for command in config[phase]]
    # `ray down` stops only the head; a worker's raylet exits without it, and `--block` then stops all but the agents,
    # which try to reach the head for a minute. A final `ray stop` on the machine saves that minute.
    *before, start = config["worker_start_ray_commands"]
    start, wrapped = re.subn(r"setsid (\S+/ray start --block .*?) >", r"setsid bash -c '\1; ray stop --force' >", start)
    assert wrapped == 1
    config["worker_start_ray_commands"] = [*before, start]
    text: str = yaml.safe_dump(config, width=1000)
    return text


def checked_output(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def write_file(machine: Machine, path: str, text: str) -> None:
    checked_output(machine.run(f"mkdir -p $(dirname {path}); cat > {path} <<'END'\n{text}\nEND", 10))


def quotes_by_node(head: Machine, nodes: int) -> dict[str, Any]:
    """Return the quote of each node by its address."""
    quotes: dict[str, Any] = json.loads(checked_output(head.run(f"{JOIN} python {SCRIPT} {head.ip}:6379 {nodes}", 150)))
    return quotes


def quote_by_command(head: Machine) -> dict[str, Any]:
    """Return the quote of ``facet quote --ray`` on the cluster's head, which alone has the model's file."""
    model = f"~/models/{priced_on_ray.SAMPLE}.stl --layer-height {priced_on_ray.LAYER_HEIGHT_MM} --material silver-925"
    command = f"facet samples ~/models && {JOIN} facet quote {model} --json --ray {head.ip}:6379"
    quotes: dict[str, Any] = json.loads(checked_output(head.run(command, 150)))
    return quotes


def test_up_price_scale_and_down_leave_no_process(tmp_path: Path) -> None:
    expected = priced_on_ray.price()
    with machines(4, tmp_path) as (operator, head, *workers):
        write_file(operator, "~/.facet/cluster/auth_token", "a-token-of-this-test-alone")
        write_file(operator, "~/.facet/cluster/facet.env", CLUSTER_ENVIRONMENT)

        write_file(operator, "~/cluster.yaml", cluster_file(head, workers, min_workers=1))
        checked_output(operator.run(f"{RAY} up --yes --no-config-cache ~/cluster.yaml", 120))
        assert quotes_by_node(head, 1) == {workers[0].ip: expected}

        write_file(operator, "~/cluster.yaml", cluster_file(head, workers, min_workers=2))
        checked_output(operator.run(f"{RAY} up --yes --no-config-cache --no-restart ~/cluster.yaml", 60))
        assert quotes_by_node(head, 2) == {worker.ip: expected for worker in workers}
        assert quote_by_command(head) == expected

        checked_output(operator.run(f"{RAY} down --yes ~/cluster.yaml", 60))
        deadline = time.monotonic() + GIVE_UP_S + 30
        while any(machine.programs() for machine in (head, *workers)) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert {machine.ip: machine.programs() for machine in (head, *workers)} == {
            machine.ip: [] for machine in (head, *workers)
        }
    assert [sessions.members(machine.session) for machine in (operator, head, *workers)] == [[], [], [], []]


def test_a_machine_is_isolated_from_the_host(tmp_path: Path) -> None:
    """The premise of the other test: a machine can't reach the host's Ray, files or network."""
    with machines(1, tmp_path) as (machine,):
        pids = checked_output(machine.run("ps -eo pid=", 10)).split()
        assert len(pids) < 10
        assert "1" in pids
        visible = {
            part.resolve().relative_to(HOME).parts[0] for part in SHARED_PATHS if part.resolve().is_relative_to(HOME)
        }
        assert set(checked_output(machine.run("ls -A ~", 10)).split()) == {".bashrc", ".ssh", *visible}
        assert machine.run(f"ls {tmp_path}", 10).returncode != 0
        links = checked_output(machine.run("ip -o link", 10)).splitlines()
        assert [link.split()[1] for link in links] == ["lo:", "hub:"]
