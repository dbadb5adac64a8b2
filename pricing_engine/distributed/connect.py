"""Join a Ray cluster or start a local one, and check that its versions match."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from pricing_engine import ENGINE_VERSION
from pricing_engine.distributed.address import LOCAL, NODE_SETTINGS
from pricing_engine.distributed.errors import ClusterMismatch, ClusterUnreachable
from pricing_engine.distributed.worker import engine_version

_CONNECT_TIMEOUT_S = 3.0
_FIRST_TASK_TIMEOUT_S = 120.0  # a node may have to be started for it
_SETTINGS = {**NODE_SETTINGS, "RAY_USAGE_STATS_ENABLED": "0"}


@contextmanager
def cluster(address: str = LOCAL, cpus: int | None = None) -> Iterator[None]:
    """Connect to the cluster at ``address`` (host:port, ray://host:port, auto) for the duration of the block.

    ``local``: a cluster on this machine, with ``cpus`` or all of its cores, which ends with the block.
    Raises ClusterUnreachable, ClusterMismatch.
    """
    connect(address, cpus)
    try:
        yield
    finally:
        ray.shutdown()


def connect(address: str = LOCAL, cpus: int | None = None) -> None:
    """Connect this process; see :func:`cluster`."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    if address not in (LOCAL, "auto"):
        _check_reachable(address)
    hook = {"worker_process_setup_hook": "pricing_engine.distributed.worker_process.set_up"}
    try:
        if address == LOCAL:
            ray.init(
                address="local", num_cpus=cpus, include_dashboard=False, runtime_env=hook, log_to_driver=False,
                logging_level=logging.ERROR,
            )  # fmt: skip
        else:
            ray.init(address=address, runtime_env=hook, log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        raise ClusterUnreachable(
            f"{address}: no Ray cluster answers ({_one_line(error)}); see `facet status`"
        ) from error
    except (RuntimeError, ValueError, TimeoutError, ray.exceptions.RayError) as error:
        if "ersion" in str(error):
            raise ClusterMismatch(f"{address}: {_one_line(error)}; install the same versions on both sides") from error
        raise ClusterUnreachable(f"{address}: can't be joined ({_one_line(error)}); see its logs") from error
    if address != LOCAL:
        _check_engine(address)


def _check_reachable(address: str) -> None:
    """Raise ClusterUnreachable if nothing listens at the address: Ray itself would wait for long."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise ClusterUnreachable(f"{address}: no address of a cluster; give host:port, ray://host:port or auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_TIMEOUT_S).close()
    except (OSError, OverflowError) as error:
        raise ClusterUnreachable(f"{address}: nothing answers there ({error}); is the cluster up?") from error


def _check_engine(address: str) -> None:
    try:
        version = ray.get(engine_version.options(num_cpus=0.1).remote(), timeout=_FIRST_TASK_TIMEOUT_S)
    except ray.exceptions.GetTimeoutError:
        ray.shutdown()
        raise ClusterUnreachable(
            f"{address}: no worker took a task in {_FIRST_TASK_TIMEOUT_S:.0f} s; add nodes"
        ) from None
    except ray.exceptions.RayError as error:
        ray.shutdown()
        raise ClusterMismatch(f"{address}: its workers don't run this engine ({_one_line(error)})") from error
    if version != ENGINE_VERSION:
        ray.shutdown()
        raise ClusterMismatch(f"{address}: runs engine {version}, here is {ENGINE_VERSION}; install the same on both")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
