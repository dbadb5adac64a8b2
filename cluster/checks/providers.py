"""Rules of each provider: EC2 (region, zones, spot, Ray's risky defaults) and on-premise machines."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Any

from cluster.checks.finding import Finding, as_int, as_list, as_mapping, as_number, as_text, one_line

_REGION = re.compile(r"^[a-z]{2}(-[a-z]+)+-\d$")
_HOST = re.compile(r"^(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,62})(\.[A-Za-z0-9][A-Za-z0-9-]{0,62})*$")

# What Ray fills in for provider aws where a key is left out.
_RAY_DEFAULTS = {
    "setup_commands": "the install of a nightly Ray wheel",
    "head_setup_commands": "an install of boto3 from the network",
    "head_start_ray_commands": "a start with the dashboard open to the network",
    "worker_start_ray_commands": "a start without token authentication",
    "available_node_types": "an m5.large head that takes tasks, and spot workers",
}


def check_aws(config: dict[str, Any]) -> Iterator[Finding]:
    """Yield the findings for EC2 that Ray's own checks miss."""
    for key, default in _RAY_DEFAULTS.items():
        if key not in config:
            yield Finding(
                "ray-default", key, f"left out: Ray fills in {default}", "it, as [] if there is nothing to do"
            )
    yield from _region(as_mapping(config.get("provider")))
    yield from _machines(as_mapping(config.get("available_node_types")), config.get("head_node_type"))


def _region(provider: dict[str, Any]) -> Iterator[Finding]:
    region = provider.get("region")
    if not region:
        yield Finding(
            "region-missing",
            "provider.region",
            "not given: ray up stops with a KeyError",
            "a region, such as eu-central-1",
        )
        return
    if not _REGION.match(as_text(region)):
        yield Finding(
            "region-name",
            "provider.region",
            f"{one_line(region)} is no region's name",
            "a region, such as eu-central-1",
        )
        return
    zones = [zone.strip() for zone in as_text(provider.get("availability_zone")).split(",") if zone.strip()]
    for zone in zones:
        if not re.fullmatch(re.escape(region) + r"[a-z]", zone):
            problem = f"{one_line(zone)} is no zone of {region}: no subnet would be found"
            yield Finding(
                "zone-elsewhere", "provider.availability_zone", problem, f"zones of the region, such as {region}a"
            )


def _machines(types: dict[str, Any], head: Any) -> Iterator[Finding]:
    workers = {name: as_mapping(node_type) for name, node_type in types.items() if name != head}
    if not workers:
        yield Finding("no-workers", "available_node_types", "no type of worker: nothing could run", "a worker type")
    spot = {}
    for name, node_type in types.items():
        node_config, path = (
            as_mapping(as_mapping(node_type).get("node_config")),
            f"available_node_types.{name}.node_config",
        )
        if not as_text(node_config.get("InstanceType")):
            yield Finding("instance-type", f"{path}.InstanceType", "not given", "an instance type, such as c7a.4xlarge")
        if "InstanceMarketOptions" not in node_config:
            continue
        market = as_mapping(node_config["InstanceMarketOptions"]).get("MarketType")
        if market != "spot":
            key = f"{path}.InstanceMarketOptions"
            yield Finding("market-type", key, f"MarketType {one_line(market)}", "{MarketType: spot}, or nothing")
        elif name == head:
            yield Finding("head-on-spot", path, "the head on spot ends the cluster when EC2 takes it back", "no spot")
        else:
            spot[name] = as_mapping(node_type)
    on_demand = [node_type for name, node_type in workers.items() if name not in spot]
    for name, node_type in spot.items():
        if not any((as_int(other.get("max_workers")) or 0) > 0 and _covers(other, node_type) for other in on_demand):
            problem = "no on-demand type that may grow and offers as much: without spot capacity its tasks wait forever"
            fix = "a worker type without InstanceMarketOptions, max_workers above 0, resources as here"
            yield Finding("spot-without-on-demand", f"available_node_types.{name}", problem, fix)


def _covers(other: dict[str, Any], node_type: dict[str, Any]) -> bool:
    offered = as_mapping(other.get("resources"))
    return all(
        (as_number(offered.get(resource)) or 0) >= (as_number(amount) or 0)
        for resource, amount in as_mapping(node_type.get("resources")).items()
    )


def check_local(config: dict[str, Any]) -> Iterator[Finding]:
    """Yield the findings for on-premise machines that Ray's own checks miss or only warn about."""
    provider = as_mapping(config.get("provider"))
    head, workers = provider.get("head_ip"), as_list(provider.get("worker_ips"))
    for key, address in [("head_ip", head), *((f"worker_ips[{index}]", ip) for index, ip in enumerate(workers))]:
        if not _is_host(address):
            problem = "not given" if address is None else f"{one_line(address)} is neither an address nor a host's name"
            yield Finding("host-address", f"provider.{key}", problem, "an address or a host's name")
    if not workers:
        yield Finding("no-workers", "provider.worker_ips", "no worker: nothing could run", "the workers' addresses")
    for index, address in enumerate(workers):
        if address == head or address in workers[:index]:
            problem = f"{one_line(address)} is listed twice: two Rays on one machine"
            yield Finding(
                "host-twice", f"provider.worker_ips[{index}]", problem, "each machine once, the head separately"
            )
    minimum, maximum = as_int(config.get("min_workers", len(workers))), as_int(config.get("max_workers", len(workers)))
    for key, count in (("min_workers", minimum), ("max_workers", maximum)):
        if count is None:
            yield Finding("schema", key, f"{one_line(config[key])} is no whole number", "a whole number")
        elif count < 0:
            yield Finding("negative-count", key, f"{count} workers", "0 or more")
        elif count > len(workers):
            problem = f"{count}, but worker_ips names {len(workers)}"
            yield Finding("more-than-machines", key, problem, f"at most {len(workers)}")
    if minimum is not None and maximum is not None and minimum > maximum >= 0:
        yield Finding(
            "min-over-max", "min_workers", f"{minimum}, more than max_workers {maximum}", f"at most {maximum}"
        )
    if not as_text(as_mapping(config.get("auth")).get("ssh_user")):
        yield Finding("ssh-user", "auth.ssh_user", "not given", "the user that ray up logs in as")


def _is_host(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        ipaddress.ip_address(value)
    except ValueError:
        # Dotted numbers that are no address are a mistyped address, not a name.
        return _HOST.match(value) is not None and not re.fullmatch(r"[\d.]+", value)
    return True
