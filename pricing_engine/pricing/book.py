"""The price book: a TOML file read into typed tables, validated figure by figure, and hashed by its content.

The tables are the dataclasses of ``processes.price_tables``; the file must have exactly their keys. Every table with
figures states their ``basis``. Figures are decimals as written, never floats.
"""

from __future__ import annotations

import datetime
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from decimal import Decimal
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pricing_engine.processes.errors import PriceBookError, UnknownProcess
from pricing_engine.processes.money import canonical_digest, exact
from pricing_engine.processes.price_tables import Casting, FineMetal, Fraction, PowderBed, ResinPrint

SCHEMA = "facet.price-book/1"
PROCESSES = {"casting": "casting", "resin": "resin", "powder-bed": "powder_bed"}
_MAX_FIGURE = Decimal(10) ** 9
_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_RANGES = {
    "above 0": lambda x: x > 0,
    "0 or more": lambda x: x >= 0,
    "above 0, at most 1": lambda x: 0 < x <= 1,
    "from 0 to 1": lambda x: 0 <= x <= 1,
}


@dataclass(frozen=True, slots=True)
class Partner:
    """A partner and the agreed discount on an order, metal excepted."""

    label: str
    discount: Fraction


@dataclass(frozen=True, slots=True)
class Tables:
    """The contents of the file, typed."""

    schema: str
    id: str
    currency: str
    valid_from: datetime.datetime
    partners: Mapping[str, Partner]
    fine_metals: Mapping[str, FineMetal]
    casting: Casting
    resin: ResinPrint
    powder_bed: PowderBed


@dataclass(frozen=True, slots=True)
class PriceBook:
    """A validated price book. ``sha256`` is over ``content``: the parsed file with figures as plain text."""

    tables: Tables
    sha256: str
    content: Mapping[str, Any]

    @property
    def valid_from(self) -> str:
        """Return the time from which the book is valid, RFC 3339 in UTC."""
        return _timestamp(self.tables.valid_from)

    def process(self, name: str) -> Casting | ResinPrint | PowderBed:
        """Return a process's tables; raises UnknownProcess."""
        if name not in PROCESSES:
            raise UnknownProcess(name, PROCESSES)
        tables: Casting | ResinPrint | PowderBed = getattr(self.tables, PROCESSES[name])
        return tables

    def figure(self, key: str) -> Decimal:
        """Return the figure at a line's ``source``, such as ``casting.tree.per_flask``; KeyError if there is none."""
        value: Any = self.content
        for step in key.split("."):
            value = value[step]
        return Decimal(value)


def load_price_book(path: Path | str | None = None) -> PriceBook:
    """Read the price book at ``path``, or the default one; raises PriceBookError with one line that names the key."""
    if path is None:
        name = "default price book"
        data = (resources.files("pricing_engine.pricing") / "books" / "default.toml").read_bytes()
    else:
        name = str(path)
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise PriceBookError(f"{name}: can't be read ({error.strerror or error})") from error
    return parse_price_book(data, name)


def parse_price_book(data: bytes, name: str = "price book") -> PriceBook:
    """Read a price book's bytes; ``name`` opens the message of a PriceBookError."""
    try:
        document = tomllib.loads(data.decode("utf-8"), parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError) as error:  # bad TOML or UTF-8, a figure beyond all bounds
        raise PriceBookError(f"{name}: not TOML ({' '.join(str(error).split())})") from error
    try:
        with exact():
            if document.get("schema") != SCHEMA:
                raise PriceBookError(f'schema: expected "{SCHEMA}"')
            tables: Tables = _table(Tables, document, "")
            _check_references(tables)
            content = _canonical(document)
    except PriceBookError as error:
        raise PriceBookError(f"{name}: {' '.join(str(error).split())}") from None
    return PriceBook(tables, canonical_digest(content).removeprefix("sha256:"), content)


def offer(book: PriceBook) -> dict[str, Any]:
    """Return what the book offers: processes with materials, finishes and extras, JSON-ready, in the book's order."""
    processes = []
    for name in PROCESSES:
        rates = book.process(name)
        materials = [
            {"id": key, "label": m.label, "density_g_cm3": str(m.density_g_cm3), "min_wall_mm": str(m.min_wall_mm)}
            for key, m in rates.materials.items()
        ]
        summary: dict[str, Any] = {
            "id": name,
            "label": rates.label,
            "default_finish": rates.default_finish,
            "materials": materials,
            "finishes": [{"id": key, "label": finish.label} for key, finish in rates.finishes.items()],
        }
        if isinstance(rates, Casting):
            summary["platings"] = [{"id": key, "label": plating.label} for key, plating in rates.platings.items()]
            summary["stone_settings"] = [{"id": key, "label": setting.label} for key, setting in rates.settings.items()]
        processes.append(summary)
    return {
        "price_book": {"id": book.tables.id, "sha256": book.sha256, "valid_from": book.valid_from},
        "currency": book.tables.currency,
        "processes": processes,
    }


def _timestamp(timestamp: datetime.datetime) -> str:
    return timestamp.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")


def _canonical(value: Any) -> Any:
    """Return the document with figures as plain text, so that 0.10 and 0.1 are the same content."""
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, datetime.datetime):
        return _timestamp(value)
    if isinstance(value, Decimal | int) and not isinstance(value, bool):
        return f"{Decimal(value).normalize():f}"
    return value


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)


def _table(kind: Any, document: Any, key_path: str) -> Any:
    """Read the dataclass ``kind`` from a TOML table with exactly its keys, and ``basis`` if it has figures."""
    if not isinstance(document, dict):
        raise PriceBookError(f"{key_path}: expected a table")
    hints, values = _hints(kind), {}
    figures = [name for name, hint in hints.items() if name in document and _is_figure(hint)]
    names = {name.replace("_", "-") if name == "powder_bed" else name: name for name in hints}
    optional = {f.name for f in fields(kind) if f.default is not MISSING}
    for key in document:
        if key not in names and not (key == "basis" and figures):
            raise PriceBookError(f"{_join(key_path, key)}: unknown key; expected {', '.join(names)}")
    for key, name in names.items():
        if key in document:
            values[name] = _value(hints[name], document[key], _join(key_path, key))
        elif name not in optional:
            raise PriceBookError(f"{_join(key_path, key)}: missing")
    if figures:
        _check_basis(document.get("basis"), figures, key_path)
    return kind(**values)


def _join(key_path: str, key: str) -> str:
    return f"{key_path}.{key}" if key_path else key


def _is_figure(hint: Any) -> bool:
    """Return whether a field is a figure or a list of figures."""
    if typing.get_origin(hint) in (tuple, types.UnionType, typing.Union):
        return any(_is_figure(argument) for argument in typing.get_args(hint))
    return typing.get_origin(hint) is Annotated


def _check_basis(basis: Any, figures: list[str], key_path: str) -> None:
    """Reject a figure without a source that is not marked illustrative."""
    if isinstance(basis, str) and basis.strip():
        return
    if not isinstance(basis, dict) or not all(isinstance(text, str) and text.strip() for text in basis.values()):
        raise PriceBookError(f'{key_path}.basis: missing; give the source of the figures, or "illustrative"')
    for key in basis:
        if key != "others" and key not in figures:
            raise PriceBookError(f"{key_path}.basis.{key}: there is no such figure")
    for key in figures:
        if key not in basis and "others" not in basis:
            raise PriceBookError(f'{key_path}.{key}: no basis; give its source, or "illustrative"')


def _value(hint: Any, value: Any, key_path: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _figure(arguments[0], arguments[1], value, key_path)
    if origin in (types.UnionType, typing.Union):
        return _value(arguments[0], value, key_path)
    if origin is tuple:
        if not isinstance(value, list) or len(value) != len(arguments):
            raise PriceBookError(f"{key_path}: expected a list of {len(arguments)}")
        return tuple(_value(item, element, key_path) for item, element in zip(arguments, value, strict=True))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            raise PriceBookError(f"{key_path}: expected a table")
        for key in value:
            if not _ID.fullmatch(key):
                raise PriceBookError(f"{_join(key_path, key)}: an id has small letters, digits and hyphens")
        return {key: _value(arguments[1], item, _join(key_path, key)) for key, item in value.items()}
    if is_dataclass(hint):
        return _table(hint, value, key_path)
    if hint is datetime.datetime:
        if not isinstance(value, datetime.datetime) or value.tzinfo is None:
            raise PriceBookError(f"{key_path}: expected a time with its offset, as 2026-11-01T00:00:00Z")
        return value
    if not isinstance(value, str) or not value.strip():
        raise PriceBookError(f"{key_path}: expected a text")
    return value


def _figure(kind: type, allowed: str, value: Any, key_path: str) -> Decimal | int:
    """Read a figure in the range that its annotation names."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or (kind is int and isinstance(value, Decimal)):
        raise PriceBookError(f"{key_path}: expected a {'whole ' if kind is int else ''}number")
    figure = Decimal(value)
    if not figure.is_finite() or not _RANGES[allowed](figure) or not _fits(figure):
        raise PriceBookError(f"{key_path}: {value} is out of range; expected {allowed}")
    return value if kind is int else figure


def _fits(figure: Decimal) -> bool:
    """Return whether a figure is at most 1e9, of at most 12 decimals: then no product of prices is ever rounded."""
    return figure <= _MAX_FIGURE and figure == round(figure, 12)


def _check_references(tables: Tables) -> None:
    """Check references between tables."""
    if len(tables.currency) != 3 or not (tables.currency.isascii() and tables.currency.isupper()):
        raise PriceBookError("currency: expected an ISO 4217 code, as EUR")
    for process, name in PROCESSES.items():
        rates: Casting | ResinPrint | PowderBed = getattr(tables, name)
        if not rates.materials:
            raise PriceBookError(f"{process}.materials: at least one is needed")
        if rates.default_finish not in rates.finishes:
            raise PriceBookError(f"{process}.default_finish: there is no finish {rates.default_finish!r}")
    for key, alloy in tables.casting.materials.items():
        key_path = f"casting.materials.{key}"
        if (alloy.fine_metal is None) == (alloy.price_per_g is None) or (alloy.fine_metal is None) != (
            alloy.fineness is None
        ):
            raise PriceBookError(f"{key_path}: give either fine_metal and fineness, or price_per_g")
        if alloy.fine_metal is not None and alloy.fine_metal not in tables.fine_metals:
            raise PriceBookError(f"{key_path}.fine_metal: there is no fine metal {alloy.fine_metal!r}")
