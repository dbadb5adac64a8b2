"""Pricing errors; the command line maps them to exit code 2 and one line."""

from __future__ import annotations

from collections.abc import Iterable


class PricingError(ValueError):
    """Wrong usage. ``str(error)`` is one line with the problem and the remedy."""


class PriceBookError(PricingError):
    """The price book is invalid: unreadable, an unknown or missing key, a figure out of range or without basis."""


class UnknownEntry(PricingError):
    """A requested name that the price book does not offer."""

    kind = "entry"

    def __init__(self, name: str, offered: Iterable[str]) -> None:
        self.name, self.offered = name, tuple(offered)
        super().__init__(name, self.offered)  # the arguments of __init__, so that the error can be pickled

    def __str__(self) -> str:
        return f"unknown {self.kind} {self.name!r}: the price book offers {', '.join(self.offered) or 'none'}"


class UnknownProcess(UnknownEntry):
    """No such process."""

    kind = "process"


class UnknownMaterial(UnknownEntry):
    """No such material in the process."""

    kind = "material"


class UnknownFinish(UnknownEntry):
    """No such finish in the process."""

    kind = "finish"


class UnknownPlating(UnknownEntry):
    """No such plating in the process."""

    kind = "plating"


class UnknownSetting(UnknownEntry):
    """No such stone setting in the process."""

    kind = "stone setting"


class UnknownPartner(UnknownEntry):
    """No partner of that name has an agreed discount."""

    kind = "partner"


class BadQuantity(PricingError):
    """A number of pieces, stones or letters out of range."""
