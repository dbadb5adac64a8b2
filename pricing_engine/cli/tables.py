"""Terminal output: tables on stdout, progress and messages on stderr."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table

    from pricing_engine.analysis.schema import Analysis
    from pricing_engine.mesh.samples import Sample
    from pricing_engine.pricing.quote import Quote

_COLOUR = {
    "info": "cyan",
    "warning": "yellow",
    "error": "red",
    "manufacturable": "green",
    "review": "yellow",
    "rejected": "red",
}


def log(text: str) -> None:
    """Print a line on stderr."""
    print(text, file=sys.stderr)


@contextlib.contextmanager
def status(text: str, quiet: bool = False) -> Iterator[None]:
    """Show a spinner on stderr while the block runs, if stderr is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(text):
        yield


def progress(paths: Sequence[Path], text: str) -> Iterable[Path]:
    """Iterate over the paths with a progress bar on stderr."""
    from rich.console import Console
    from rich.progress import track

    return track(paths, text, console=Console(stderr=True), disable=not sys.stderr.isatty())


def show_analysis(analysis: Analysis, name: str) -> None:
    """Print an analysis as two tables: measures, then checks."""
    a, g, t = analysis, analysis.geometry, analysis.thickness
    figures = _table(f"{name}  ·  {a.model.format}, {a.model.facets:,} facets, unit {a.model.unit}", "", "", right=1)
    size = None
    if g.bbox_min_mm and g.bbox_max_mm:
        size = " x ".join(f"{high - low:.3f}" for low, high in zip(g.bbox_min_mm, g.bbox_max_mm, strict=True))
    rows: list[tuple[str, str]] = [
        ("closed", _closed(a)),
        ("bodies", f"{a.integrity.bodies:,}"),
        ("self-intersecting facets", _number(a.integrity.self_intersecting_facets, 0)),
        ("box", f"{size or '-'} mm"),
        ("volume (overlaps once)", f"{_number(g.volume_mm3)} mm3"),
        ("signed volume", f"{_number(g.signed_volume_mm3)} mm3"),
        ("surface of the solid", f"{_number(g.surface_area_mm2)} mm2"),
        ("area of all facets", f"{_number(g.area_mm2)} mm2"),
        (
            "wall by sphere, least / 5 % / median",
            f"{_number(t.sphere.min_mm)} / {_number(t.sphere.p05_mm)} / {_number(t.sphere.p50_mm)} mm",
        ),
        (
            "wall by ray, least / 5 % / median",
            f"{_number(t.ray.min_mm)} / {_number(t.ray.p05_mm)} / {_number(t.ray.p50_mm)} mm",
        ),
        *((f"thinner than {limit} mm", _percent(share)) for limit, share in t.thin_area_fraction.items()),
        ("support as given", f"{_number(a.orientation.as_given.support_volume_mm3)} mm3"),
        (f"support at best of {a.orientation.candidates:,}", f"{_number(a.orientation.best.support_volume_mm3)} mm3"),
        ("layers", f"{_number(a.slices.layers, 0)} of {a.slices.layer_height_mm:g} mm"),
        ("islands, trapped space", f"{_number(a.slices.islands, 0)}, {_number(a.slices.trapped_volume_mm3)} mm3"),
        *(
            (f"a {radius} mm ball reaches", _percent(share))
            for radius, share in a.finishing.reach_area_fraction.items()
        ),
        ("measured in", f"{a.elapsed_s['total']:.2f} s"),
    ]
    for row in rows:
        figures.add_row(*row)
    _print(figures)
    checks = _table("Checks", "", "what was found")
    for check in a.checks:
        checks.add_row(f"[{_COLOUR[check.severity]}]{check.severity}[/]", check.message)
    if a.checks:
        _print(checks)


def _closed(analysis: Analysis) -> str:
    integrity = analysis.integrity
    if integrity.watertight:
        return "yes"
    estimated = any(check.code == "volume_estimated" for check in analysis.checks)
    if integrity.boundary_edges or estimated:
        return "no"
    return f"yes, with {integrity.non_manifold_edges:,} edges in more than two facets"


def show_quote(quote: Quote, name: str) -> None:
    """Print the options of a quote, then the lines and reasons of the first."""
    options = _table(
        f"{name}  ·  price book {quote.price_book['id']}",
        "material",
        "finish",
        "qty",
        "finished g",
        "a piece",
        "total",
        "days",
        "verdict",
        right=2,
    )
    for o in quote.options:
        options.add_row(
            o.material,
            o.finish,
            str(o.quantity),
            f"{o.finished_mass_g:.2f}",
            f"{o.unit_price} {o.currency}",
            f"{o.total} {o.currency}",
            str(o.lead_time_days),
            f"[{_COLOUR[o.verdict]}]{o.verdict}[/]",
        )
    _print(options)
    if not quote.options:
        return
    first = quote.options[0]
    lines = _table(f"{first.material}, {first.quantity} pc", "line", "quantity", "rate", "amount", right=1)
    for line in first.lines:
        lines.add_row(line.label, f"{line.quantity} {line.unit}", str(line.rate), str(line.amount))
    _print(lines)
    for reason in first.reasons:
        _print(f"[{_COLOUR[reason.severity]}]{reason.severity}[/] {reason.message}")


def show_sample(sample: Sample, analysis: Analysis) -> None:
    """Print the analysis of a sample and its true volume."""
    show_analysis(analysis, sample.title)
    measured = analysis.geometry.volume_mm3 or 0.0
    error = measured / sample.volume_mm3 - 1
    _print(
        f"true volume {sample.volume_mm3:.4f} mm3 ({sample.source}); measured {measured:.4f} mm3, off by {error:.1e}"
    )


def show_rows(title: str, rows: Sequence[dict[str, Any]]) -> None:
    """Print records as a table."""
    table = _table(title, *(rows[0] if rows else ()))
    for row in rows:
        table.add_row(*(", ".join(map(str, v)) if isinstance(v, list | tuple) else str(v) for v in row.values()))
    _print(table)


def _table(title: str, *columns: str, right: int | None = None) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_header=any(columns))
    for index, column in enumerate(columns):
        table.add_column(
            column, justify="right" if right is not None and index >= right and column != "verdict" else "left"
        )
    return table


def _print(renderable: Any) -> None:
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(renderable, highlight=False)


def _number(value: float | None, places: int = 3) -> str:
    return "not measured" if value is None else f"{value:,.{places}f}"


def _percent(share: float | None) -> str:
    return "not measured" if share is None else f"{share:.1%}"
