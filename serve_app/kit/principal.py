"""Who calls: a name, the roles it has, and what those may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from data.contracts.lifecycle import Actor


class Role(StrEnum):
    """What somebody may do; one may have several."""

    CUSTOMER = "customer"
    PARTNER = "partner"
    SELLER = "seller"
    OPERATOR = "operator"
    ADMIN = "admin"
    PRICING_CLIENT = "pricing-client"
    """A service that asks for prices: the MES."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who was recognised. ``id``: what rows that are theirs bear as owner."""

    id: str
    roles: frozenset[Role]

    def may(self, *roles: Role) -> bool:
        """Whether one of ``roles`` is theirs; an administrator may all."""
        return Role.ADMIN in self.roles or not self.roles.isdisjoint(roles)

    def owns(self, owner_id: str) -> bool:
        """Whether a row is theirs to see; an administrator sees all."""
        return self.id == owner_id or Role.ADMIN in self.roles

    def acting_as(self, *roles: Role) -> Actor:
        """In which of ``roles`` they take a step; an administrator who has none of them acts as such."""
        return Actor(next((role for role in roles if role in self.roles), Role.ADMIN))
