"""Free ports."""

from __future__ import annotations

from cluster.local.ports import FIRST, LAST, free_ports


def test_free_ports_are_different_and_in_range() -> None:
    found = free_ports(20)
    assert len(set(found)) == 20
    assert all(FIRST <= port < LAST for port in found)
