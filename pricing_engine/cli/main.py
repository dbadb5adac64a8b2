"""Entry point of the ``facet`` command: builds the application and maps errors to one line and an exit code.

Exit codes: 0 success, 2 wrong usage, 3 the model can't be read, 4 a service is unreachable or unhealthy.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from importlib.metadata import PackageNotFoundError, entry_points
from importlib.metadata import version as package_version
from itertools import zip_longest
from typing import Annotated, NoReturn

import typer

from pricing_engine import ENGINE_VERSION
from pricing_engine.cli.commands import register
from pricing_engine.cli.errors import ServiceUnhealthy, WrongUsage
from pricing_engine.distributed.address import LOCAL, is_address
from pricing_engine.distributed.errors import DistributedError
from pricing_engine.mesh.errors import ModelError
from pricing_engine.processes.errors import PricingError

USAGE, UNREADABLE, UNHEALTHY = 2, 3, 4
_EPILOG = """Example: facet quote ring.stl --material silver-925

Exit codes: 0 done, 2 wrong usage, 3 the model can't be read, 4 a service can't be reached or is not healthy.

docs/interface.md describes commands, JSON documents, exit codes and settings."""


def build() -> typer.Typer:
    """Return the application with the engine's commands and those of plug-ins (entry points ``facet.commands``)."""
    app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="rich")
    app.callback(epilog=_EPILOG)(_global_options)
    register(app)
    for entry in sorted(entry_points(group="facet.commands"), key=lambda found: found.name):
        entry.load()(app)
    return app


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"facet {_product_version()} (engine {ENGINE_VERSION})")
        raise typer.Exit


def _product_version() -> str:
    try:
        return package_version("facet")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "unknown"


def _global_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the versions and exit.")
    ] = False,
) -> None:
    """Measure and price 3D models for casting and 3D printing, on this machine or on a cluster."""


def main() -> NoReturn:
    """Run the command line and exit."""
    try:
        _run()
    except SystemExit as result:
        single_threaded = threading.active_count() == 1 + sum(thread.daemon for thread in threading.enumerate())
        code = result.code
        if single_threaded and "numba" in sys.modules and "ray" not in sys.modules and isinstance(code, int | None):
            _exit_quickly(code or 0)
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
        # The reader of the pipe (head, less) has exited: keep Python from flushing into it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(0)


def _exit_quickly(code: int) -> NoReturn:
    """Run exit handlers, flush, and exit without the interpreter's teardown: freeing the kernels takes 0.4 s."""
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:  # a closed pipe is no error
        os._exit(code)


def _with_address(arguments: list[str]) -> list[str]:
    """Insert the local address after a ``--ray`` without one."""
    return [
        f"--ray={LOCAL}" if argument == "--ray" and not is_address(following) else argument
        for argument, following in zip_longest(arguments, arguments[1:], fillvalue="")
    ]


def _fail(code: int, error: Exception) -> NoReturn:
    print(f"facet: {' '.join(str(error).split())}", file=sys.stderr)
    sys.exit(code)
