"""The commands that run Facet: ``facet up``, ``facet down``, ``facet status`` here, ``facet dispatcher`` anywhere."""

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
    app.command(epilog="Examples: facet up; facet up --detach --port 8080; facet up --ray-only --workers 2 --cpus 1")(
        up
    )
    app.command(epilog="Example: facet status --json")(status)
    app.command(epilog="Example: facet down --purge")(down)
    app.command(epilog="Example, on the head: facet dispatcher --analyses /opt/facet/analyses")(dispatcher)


def up(
    ray_only: Annotated[bool, typer.Option("--ray-only", help="Only Ray, without the services.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Return when it runs; `facet down` ends it.")] = False,
    cpus: Annotated[
        int | None, typer.Option(min=1, help="CPUs of each worker node, or of the head if there are none.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, max=64, help="Worker nodes; with any, the head takes no tasks.")] = 0,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where the services answer, on this machine.")] = 8000,
    samples: Annotated[bool, typer.Option(help="Carry three sample orders through the services once they run.")] = True,
) -> None:
    """Run Facet here: real servers on private ports, kept under .facet/stack, started anew when they die.

    Servers that FACET_*_URL settings name are used instead of own ones.
    """
    from cluster.local import stack
    from cluster.local.parts import PartFailed
    from cluster.local.state import here

    each = cpus or max(1, (os.cpu_count() or 1) // max(1, workers))
    asked = stack.Asked(each, workers, None if ray_only else port)
    folder = here()

    def welcome(state: State) -> None:
        _say_up(state)
        if state.url and samples:
            from cluster.local.demo_orders import carry

            carry(state.url, folder)

    def stay(state: State) -> None:
        welcome(state)
        _say("It stays up; Ctrl-C ends it.")

    try:
        if detach:
            welcome(stack.run_detached(folder, stack.detached_command(asked)))
        else:
            stack.run(folder, asked, stay)
    except stack.AlreadyUp as error:
        raise WrongUsage(str(error)) from error
    except PartFailed as error:
        raise ServiceUnhealthy(str(error)) from error


def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON as INTERFACE names it.")] = False) -> None:
    """Tell what runs, and whether it is well; exit code 4 if anything is not."""
    from cluster.local.state import here
    from cluster.local.status import report

    folder = here()
    tree = report(folder, folder.read())
    if as_json:
        print(json.dumps(tree, indent=2))
    elif tree["parts"]:
        _show(tree["parts"])
        for name, value in tree["settings"].items():
            _say(f"{name}={value}")
        _say(f"logs: {folder.logs}")
    if not tree["parts"]:
        raise ServiceUnhealthy("nothing is up here; `facet up` brings it up")
    if not tree["healthy"]:
        ill = ", ".join(part["name"] for part in tree["parts"] if not part["healthy"])
        raise ServiceUnhealthy(f"not healthy: {ill}; the logs are in {folder.logs}")


def down(
    purge: Annotated[
        bool, typer.Option("--purge", help="Also remove logs, keys and data: all of .facet/stack.")
    ] = False,
) -> None:
    """End everything that `facet up` has started here."""
    from cluster.local.stack import clean_up
    from cluster.local.state import here

    folder = here()
    _say("everything is down" if clean_up(folder) else "nothing was up")
    folder.forget(purge)


def dispatcher(
    analyses: Annotated[Path, typer.Option(metavar="DIR", help="Where, on the cluster's head, analyses are kept.")],
    address: Annotated[str, typer.Option(help="The cluster: host:port, ray://host:port, auto.")] = "auto",
    stay: Annotated[
        bool, typer.Option("--stay", help="Do not end: Ray ends every idle worker of a command that has ended.")
    ] = False,
) -> None:
    """Begin the dispatcher of a Ray cluster, if it has none; it outlives this command, and Ray restarts it.

    With ``--stay`` workers that are warm wait for the next model; without it each model after a pause starts one.
    """
    import threading

    import ray

    from pricing_engine.distributed.actor import start_dispatcher
    from pricing_engine.distributed.connect import cluster

    with cluster(address):
        found = ray.get(start_dispatcher(str(analyses)).hello.remote())
        _say(f"the dispatcher of engine {found['engine']} runs, pid {found['pid']}")
        if stay:
            threading.Event().wait()


def _say_up(state: State) -> None:
    head = next(part for part in state.parts if part.name == "ray-head")
    if state.url:
        _say(f"up: {state.url} (API document {state.url}/openapi.json), Kafka at {state.kafka_bootstrap}")
    _say(f"up: Ray {head.version} at {head.address}, dashboard {state.ray_dashboard}")
    _say("Other programs reach Ray with these in their environment:")
    print(f"export RAY_ADDRESS={head.address} RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH={state.token}", flush=True)


def _show(parts: list[dict[str, object]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("part", "healthy", "pid", "address", "version", "restarts")
    for part in parts:
        others = (str(part[name] or "") for name in ("pid", "address", "version", "restarts"))
        table.add_row(str(part["name"]), "yes" if part["healthy"] else "NO", *others)
    Console().print(table)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
