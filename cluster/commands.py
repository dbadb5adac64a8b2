"""Commands that run Facet: ``facet up``, ``down`` and ``status`` on this machine, ``facet dispatcher`` on a cluster."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pricing_engine.cli.errors import ServiceUnhealthy, WrongUsage

if TYPE_CHECKING:
    from cluster.local.state import State


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    examples = "Examples: facet up; facet up --detach --port 8080; facet up --ray-only --workers 2 --cpus 1"
    app.command(epilog=examples)(up)
    app.command(epilog="Example: facet status --json")(status)
    app.command(epilog="Example: facet down --purge")(down)
    app.command(epilog="Example, on the head: facet dispatcher --analyses /opt/facet/analyses")(dispatcher)


def up(
    ray_only: Annotated[bool, typer.Option("--ray-only", help="Only Ray, without the services.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Return once it runs; stop it with `facet down`.")] = False,
    cpus: Annotated[
        int | None, typer.Option(min=1, help="CPUs of each worker node, or of the head if there are none.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, max=64, help="Worker nodes; with any, the head takes no tasks.")] = 0,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the services, on this machine.")] = 8000,
    samples: Annotated[bool, typer.Option(help="Price three sample orders once the services run.")] = True,
) -> None:
    """Run Facet on this machine: real servers on private ports, data in .facet/stack, restarted when they crash.

    FACET_*_URL settings select existing servers instead.
    """
    from cluster.local import stack
    from cluster.local.parts import PartFailed
    from cluster.local.state import current_folder

    cpus_per_node = cpus or max(1, (os.cpu_count() or 1) // max(1, workers))
    options = stack.StackOptions(cpus_per_node, workers, None if ray_only else port)
    folder = current_folder()

    def on_started(state: State) -> None:
        _print_addresses(state)
        if state.url and samples:
            from cluster.local.demo_orders import run_sample_orders

            run_sample_orders(state.url, folder)

    def on_started_attached(state: State) -> None:
        on_started(state)
        _print("The stack is up; stop it with Ctrl-C.")

    try:
        if detach:
            on_started(stack.run_detached(folder, stack.detached_command(options)))
        else:
            stack.run(folder, options, on_started_attached)
    except stack.AlreadyUp as error:
        raise WrongUsage(str(error)) from error
    except PartFailed as error:
        raise ServiceUnhealthy(str(error)) from error


def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON, see docs/interface.md.")] = False) -> None:
    """Show what runs and whether it is healthy; exit code 4 if anything is not."""
    from cluster.local.state import current_folder
    from cluster.local.status import status_report

    folder = current_folder()
    document = status_report(folder, folder.read())
    if as_json:
        print(json.dumps(document, indent=2))
    elif document["parts"]:
        _print_parts(document["parts"])
        for name, value in document["settings"].items():
            _print(f"{name}={value}")
        _print(f"logs: {folder.logs}")
    if not document["parts"]:
        raise ServiceUnhealthy("no stack runs in this folder; start one with `facet up`")
    if not document["healthy"]:
        unhealthy = ", ".join(part["name"] for part in document["parts"] if not part["healthy"])
        raise ServiceUnhealthy(f"not healthy: {unhealthy}; see the logs in {folder.logs}")


def down(
    purge: Annotated[
        bool, typer.Option("--purge", help="Also remove logs, keys and data: all of .facet/stack.")
    ] = False,
) -> None:
    """Stop everything that `facet up` started in this folder."""
    from cluster.local.stack import clean_up
    from cluster.local.state import current_folder

    folder = current_folder()
    _print("the stack is down" if clean_up(folder) else "no stack was running")
    folder.forget(purge)


def dispatcher(
    analyses: Annotated[Path, typer.Option(metavar="DIR", help="Folder for cached analyses, on the cluster's head.")],
    address: Annotated[str, typer.Option(help="The cluster: host:port, ray://host:port, auto.")] = "auto",
    keep_running: Annotated[
        bool, typer.Option("--stay", help="Keep running: Ray stops the idle workers of a command that has exited.")
    ] = False,
) -> None:
    """Start the dispatcher of a Ray cluster, if it has none; it outlives this command, and Ray restarts it.

    With `--stay` warm workers wait for the next model; without it each model after an idle period starts one.
    """
    import threading

    import ray

    from pricing_engine.distributed.actor import start_dispatcher
    from pricing_engine.distributed.connect import cluster

    with cluster(address):
        found = ray.get(start_dispatcher(str(analyses)).hello.remote())
        _print(f"the dispatcher of engine {found['engine']} runs, pid {found['pid']}")
        if keep_running:
            threading.Event().wait()


def _print_addresses(state: State) -> None:
    head = next(part for part in state.parts if part.name == "ray-head")
    if state.url:
        _print(f"up: {state.url} (API document {state.url}/openapi.json), Kafka at {state.kafka_bootstrap}")
    _print(f"up: Ray {head.version} at {head.address}, dashboard {state.ray_dashboard}")
    _print("Environment for other programs to connect to Ray:")
    print(f"export RAY_ADDRESS={head.address} RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH={state.token}", flush=True)


def _print_parts(parts: list[dict[str, object]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("part", "healthy", "pid", "address", "version", "restarts")
    for part in parts:
        cells = (str(part[name] or "") for name in ("pid", "address", "version", "restarts"))
        table.add_row(str(part["name"]), "yes" if part["healthy"] else "NO", *cells)
    Console().print(table)


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
