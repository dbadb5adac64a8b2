"""The real mix of users against a running local stack, by locust.

``locust -f benchmarks/locustfile.py`` shows locust's own page; with ``--headless -t 2m`` it runs by itself (``make
load`` does so, with a stack of its own where none is up). At the end figures and a picture lie in ``--load-out``.
One process measures; locust's distributed mode is not for a machine of one's own.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

sys.path.insert(0, str(Path(__file__).parents[1]))  # locust loads this file by its path, from wherever it was called

from benchmarks.load import target, users
from benchmarks.load.users import Customer, Mes, Operator, Partner, Seller, Watcher
from benchmarks.load_report import Sample, Samples, markdown

__all__ = ["Customer", "Mes", "Operator", "Partner", "Seller", "Watcher"]
USERS, SPAWN_RATE, MAX_USERS = 20, 4, 200


class Recorder:
    """What is measured between the begin and the end of a test."""

    def __init__(self, environment: Environment, out: Path) -> None:
        self._environment, self._out = environment, out
        self._began, self._samples = time.monotonic(), Samples(0)

    def begin(self, **_: Any) -> None:
        """Forget what was measured before."""
        self._began, self._samples = time.monotonic(), Samples(0)

    def take(self, request_type: str, name: str, response_time: float, exception: Any = None, **_: Any) -> None:
        """Take one measurement."""
        at = time.monotonic() - self._began
        error = None if exception is None else str(exception)[:300] or type(exception).__name__
        self._samples.taken.append(Sample(at, request_type, name, float(response_time or 0.0), error))

    def end(self, **_: Any) -> None:
        """Write the figures and print them."""
        runner = self._environment.runner
        self._samples.seconds = time.monotonic() - self._began
        self._samples.users = runner.target_user_count if runner else 0
        written = self._samples.write(self._out)
        print(f"{markdown(self._samples.summary())}\nwritten: {written}")


@events.init_command_line_parser.add_listener
def _options(parser: LocustArgumentParser) -> None:
    parser.add_argument("--facet-status", help=f"output of `facet status --json`; default: ${target.STATUS}, or ask")
    parser.add_argument("--load-out", default=".facet/load", help="folder for load-summary.json and load.svg")
    parser.set_defaults(num_users=USERS, spawn_rate=SPAWN_RATE)


@events.init.add_listener
def _find(environment: Environment, **_: Any) -> None:
    options = environment.parsed_options
    assert options is not None
    try:
        found = target.find_target(options.facet_status)
        if environment.host and not target.is_loopback(environment.host):
            raise target.NoTarget(f"{environment.host} is another machine; the load test is for this one")
    except (target.NoTarget, OSError) as why:
        sys.exit(f"locust: {why}")
    if (options.num_users or 0) > MAX_USERS:
        sys.exit(f"locust: at most {MAX_USERS} users; the stack and they share one machine")
    environment.host = environment.host or found.url
    users.User.target, users.User.host = found, environment.host
    run = Recorder(environment, Path(options.load_out))
    events.test_start.add_listener(run.begin)
    events.request.add_listener(run.take)
    events.test_stop.add_listener(run.end)
