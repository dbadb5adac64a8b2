"""The rules of one provider each: EC2 (region, zones, spot, Ray's risky defaults) and machines of one's own."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Any

from cluster.checks.finding import Finding, mapping, number, sequence, shown, text, whole

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
    """Finds what Ray lets through for EC2."""
    for key, default in _RAY_DEFAULTS.items():
        if key not in config:
            yield Finding(
                "ray-default", key, f"left out: Ray fills in {default}", "it, as [] if there is nothing to do"
            )
    yield from _region(mapping(config.get("provider")))
    yield from _machines(mapping(config.get("available_node_types")), config.get("head_node_type"))


def _region(provider: dict[str, Any]) -> Iterator[Finding]:
    region = provider.get("region")
    if not region:
        yield Finding(
            "region-missing", "provider.region", "not given: ray up stops with a KeyError", "a region, as eu-central-1"
        )
        return
    if not _REGION.match(text(region)):
        yield Finding(
            "region-name", "provider.region", f"{shown(region)} is no region's name", "a region, as eu-central-1"
        )
        return
    zones = [zone.strip() for zone in text(provider.get("availability_zone")).split(",") if zone.strip()]
    for zone in zones:
        if not re.fullmatch(re.escape(region) + r"[a-z]", zone):
            wrong = f"{shown(zone)} is no zone of {region}: no subnet would be found"
            yield Finding("zone-elsewhere", "provider.availability_zone", wrong, f"zones of the region, as {region}a")


def _machines(types: dict[str, Any], head: Any) -> Iterator[Finding]:
    workers = {name: mapping(node_type) for name, node_type in types.items() if name != head}
    if not workers:
        yield Finding("no-workers", "available_node_types", "no type of worker: nothing could run", "a worker type")
    spot = {}
    for name, node_type in types.items():
        node_config, place = mapping(mapping(node_type).get("node_config")), f"available_node_types.{name}.node_config"
        if not text(node_config.get("InstanceType")):
            yield Finding("instance-type", f"{place}.InstanceType", "not given", "an instance type, as c7a.4xlarge")
        if "InstanceMarketOptions" not in node_config:
            continue
        market = mapping(node_config["InstanceMarketOptions"]).get("MarketType")
        if market != "spot":
            key = f"{place}.InstanceMarketOptions"
            yield Finding("market-type", key, f"MarketType {shown(market)}", "{MarketType: spot}, or nothing")
        elif name == head:
            yield Finding("head-on-spot", place, "the head on spot ends the cluster when EC2 takes it back", "no spot")
        else:
            spot[name] = mapping(node_type)
    firm = [node_type for name, node_type in workers.items() if name not in spot]
    for name, node_type in spot.items():
        if not any((whole(other.get("max_workers")) or 0) > 0 and _covers(other, node_type) for other in firm):
            wrong = "no on-demand type that may grow and offers as much: without spot capacity its tasks wait for ever"
            write = "a worker type without InstanceMarketOptions, max_workers above 0, resources as here"
            yield Finding("spot-without-on-demand", f"available_node_types.{name}", wrong, write)


def _covers(other: dict[str, Any], node_type: dict[str, Any]) -> bool:
    offered = mapping(other.get("resources"))
    return all(
        (number(offered.get(resource)) or 0) >= (number(amount) or 0)
        for resource, amount in mapping(node_type.get("resources")).items()
    )


def check_local(config: dict[str, Any]) -> Iterator[Finding]:
    """Finds what Ray lets through, or only warns of, for machines of one's own."""
    provider = mapping(config.get("provider"))
    head, workers = provider.get("head_ip"), sequence(provider.get("worker_ips"))
    for key, address in [("head_ip", head), *((f"worker_ips[{index}]", ip) for index, ip in enumerate(workers))]:
        if not _is_host(address):
            wrong = "not given" if address is None else f"{shown(address)} is neither an address nor a host's name"
            yield Finding("host-address", f"provider.{key}", wrong, "an address or a host's name")
    if not workers:
        yield Finding("no-workers", "provider.worker_ips", "no worker: nothing could run", "the workers' addresses")
    for index, address in enumerate(workers):
        if address == head or address in workers[:index]:
            wrong = f"{shown(address)} stands twice: two Rays on one machine"
            yield Finding("host-twice", f"provider.worker_ips[{index}]", wrong, "each machine once, the head apart")
    low, high = whole(config.get("min_workers", len(workers))), whole(config.get("max_workers", len(workers)))
    for key, count in (("min_workers", low), ("max_workers", high)):
        if count is None:
            yield Finding("schema", key, f"{shown(config[key])} is no whole number", "a whole number")
        elif count < 0:
            yield Finding("negative-count", key, f"{count} workers", "0 or more")
        elif count > len(workers):
            wrong = f"{count}, but worker_ips names {len(workers)}"
            yield Finding("more-than-machines", key, wrong, f"at most {len(workers)}")
    if low is not None and high is not None and low > high >= 0:
        yield Finding("min-over-max", "min_workers", f"{low}, more than max_workers {high}", f"at most {high}")
    if not text(mapping(config.get("auth")).get("ssh_user")):
        yield Finding("ssh-user", "auth.ssh_user", "not given", "the user that ray up logs in as")


def _is_host(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        ipaddress.ip_address(value)
    except ValueError:
        # Four dotted numbers that are no address are a mistyped address, not a name.
        return _HOST.match(value) is not None and not re.fullmatch(r"[\d.]+", value)
    return True
