"""Entry point: builds the ``facet`` command, and turns errors into one line and an exit code.

Exit codes: 0 done, 2 wrong usage, 3 the model can't be read, 4 a service is unreachable or not healthy.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from importlib.metadata import entry_points
from typing import NoReturn

import typer

# numba looks for scipy's BLAS when it starts, a fifth of a second; no kernel calls it, so here scipy counts as absent.
sys.modules.setdefault("scipy", None)  # type: ignore[arg-type]

from pricing_engine.cli.commands import register
from pricing_engine.cli.errors import ServiceUnhealthy, WrongUsage
from pricing_engine.distributed.address import LOCAL, is_address
from pricing_engine.distributed.errors import DistributedError
from pricing_engine.mesh.errors import ModelError
from pricing_engine.processes.errors import PricingError

USAGE, UNREADABLE, UNHEALTHY = 2, 3, 4


def build() -> typer.Typer:
    """The application with the engine's commands and those of other packages (entry points ``facet.commands``)."""
    app = typer.Typer(
        help="Facet prices 3D models: measured once, truthfully, in seconds.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    register(app)
    for entry in sorted(entry_points(group="facet.commands"), key=lambda found: found.name):
        entry.load()(app)
    return app


def main() -> NoReturn:
    """Run the command line and exit."""
    try:
        _run()
    except SystemExit as end:
        alone = threading.active_count() == 1 + sum(thread.daemon for thread in threading.enumerate())
        if alone and "numba" in sys.modules and "ray" not in sys.modules and isinstance(end.code, int | None):
            _leave(end.code or 0)
        raise


def _run() -> NoReturn:
    try:
        build()(_with_address(sys.argv[1:]), standalone_mode=True)
    except ModelError as error:
        _fail(UNREADABLE, error)
    except (WrongUsage, PricingError) as error:
        _fail(USAGE, error)
    except (ServiceUnhealthy, DistributedError) as error:
        _fail(UNHEALTHY, error)
    except BrokenPipeError:
        # The reader of a pipe (head, less) has left: nothing more to say, and Python must not flush into it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(0)


def _leave(code: int) -> NoReturn:
    """Run exit handlers, flush, and exit without the interpreter's teardown: to free the kernels takes 0.4 s."""
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:  # a reader that has left is no error
        os._exit(code)


def _with_address(arguments: list[str]) -> list[str]:
    """``--ray`` may stand alone: where no address follows, a cluster of this machine is meant."""
    return [
        f"--ray={LOCAL}" if word == "--ray" and not is_address(following) else word
        for word, following in zip(arguments, [*arguments[1:], ""], strict=True)
    ]


def _fail(code: int, error: Exception) -> NoReturn:
    print(f"facet: {' '.join(str(error).split())}", file=sys.stderr)
    sys.exit(code)
