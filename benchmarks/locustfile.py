"""A realistic mix of users against a running local stack, with locust.

``locust -f benchmarks/locustfile.py`` serves locust's web page; ``--headless -t 2m`` runs without it (as ``make load``
does, with a stack of its own if none runs). The figures and a picture are written to ``--load-out``. One process
measures; locust's distributed mode is not supported.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

sys.path.insert(0, str(Path(__file__).parents[1]))  # locust loads this file by path, from any folder

from benchmarks.load import target, users
from benchmarks.load.users import Customer, Mes, Operator, Partner, Seller, Watcher
from benchmarks.load_report import Sample, Samples, markdown

__all__ = ["Customer", "Mes", "Operator", "Partner", "Seller", "Watcher"]
USERS, SPAWN_RATE, MAX_USERS = 20, 4, 200


class Recorder:
    """Records the measurements between the start and the stop of a test."""

    def __init__(self, environment: Environment, out: Path) -> None:
        self._environment, self._out = environment, out
        self._started_at, self._samples = time.monotonic(), Samples(0)

    def start(self, **_: Any) -> None:
        """Discard earlier measurements."""
        self._started_at, self._samples = time.monotonic(), Samples(0)

    def record(self, request_type: str, name: str, response_time: float, exception: Any = None, **_: Any) -> None:
        """Record one measurement."""
        at = time.monotonic() - self._started_at
        error = None if exception is None else str(exception)[:300] or type(exception).__name__
        self._samples.samples.append(Sample(at, request_type, name, float(response_time or 0.0), error))

    def stop(self, **_: Any) -> None:
        """Write and print the figures."""
        runner = self._environment.runner
        self._samples.seconds = time.monotonic() - self._started_at
        self._samples.users = runner.target_user_count if runner else 0
        written = self._samples.write(self._out)
        print(f"{markdown(self._samples.summary())}\nwritten: {written}")


@events.init_command_line_parser.add_listener
def _options(parser: LocustArgumentParser) -> None:
    parser.add_argument("--facet-status", help=f"output of `facet status --json`; default: ${target.STATUS}, or run it")
    parser.add_argument("--load-out", default=".facet/load", help="folder for load-summary.json and load.svg")
    parser.set_defaults(num_users=USERS, spawn_rate=SPAWN_RATE)


@events.init.add_listener
def _find(environment: Environment, **_: Any) -> None:
    options = environment.parsed_options
    assert options is not None
    try:
        found = target.find_target(options.facet_status)
        if environment.host and not target.is_loopback(environment.host):
            raise target.NoTarget(f"{environment.host} is another machine; the load test runs only against this one")
    except (target.NoTarget, OSError) as error:
        sys.exit(f"locust: {error}")
    if (options.num_users or 0) > MAX_USERS:
        sys.exit(f"locust: at most {MAX_USERS} users; the stack and they share one machine")
    environment.host = environment.host or found.url
    users.User.target, users.User.host = found, environment.host
    run = Recorder(environment, Path(options.load_out))
    events.test_start.add_listener(run.start)
    events.request.add_listener(run.record)
    events.test_stop.add_listener(run.stop)
