"""An authenticated caller: an id, roles, and what those permit."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from data.contracts.lifecycle import Actor


class Role(StrEnum):
    """What a caller may do; one may have several."""

    CUSTOMER = "customer"
    PARTNER = "partner"
    SELLER = "seller"
    OPERATOR = "operator"
    ADMIN = "admin"
    PRICING_CLIENT = "pricing-client"
    """A service that requests prices: the MES."""


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller. ``id``: the owner id of the caller's rows."""

    id: str
    roles: frozenset[Role]

    def may(self, *roles: Role) -> bool:
        """Return whether the caller has one of ``roles``; an administrator may do everything."""
        return Role.ADMIN in self.roles or not self.roles.isdisjoint(roles)

    def owns(self, owner_id: str) -> bool:
        """Return whether the caller may see a row of this owner; an administrator sees all."""
        return self.id == owner_id or Role.ADMIN in self.roles

    def acting_as(self, *roles: Role) -> Actor:
        """Return the first of ``roles`` that the caller has, in which a step is taken; otherwise administrator."""
        return Actor(next((role for role in roles if role in self.roles), Role.ADMIN))
