"""The engine's own commands."""

from __future__ import annotations

import csv
import json
import sys
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

import typer

from pricing_engine.cli import tables
from pricing_engine.cli.failures import WrongUsage
from pricing_engine.mesh.errors import ModelError

ModelPath = Annotated[Path, typer.Argument(metavar="MODEL", help="STL, OBJ, PLY, OFF, 3MF, GLB or STEP file.")]
ModelPaths = Annotated[list[Path], typer.Argument(metavar="MODEL...", help="One model; many models or folders with --csv.")]
Unit = Annotated[str | None, typer.Option(help="Unit of the file: mm, cm, m or in (3MF, STEP and GLB carry their own).")]
LayerHeight = Annotated[float, typer.Option(help="Layer height in mm.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads to use; the numbers are the same, bit for bit.")]
Cache = Annotated[Path | None, typer.Option(metavar="DIR", help="Keep analyses here; without it every call measures anew.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON as INTERFACE names it.")]
Process = Annotated[str, typer.Option(help="casting, resin or powder-bed.")]
Materials = Annotated[list[str] | None, typer.Option("--material", help="Material id; repeat for several. Default: all.")]
Finish = Annotated[str | None, typer.Option(help="Finish id; default: the process's own.")]
Quantities = Annotated[list[int] | None, typer.Option("--quantity", min=1, help="Pieces; repeat for several.")]
PriceBook = Annotated[Path | None, typer.Option(metavar="FILE", help="A price book of your own (TOML).")]
Discount = Annotated[str | None, typer.Option(metavar="PERCENT", help="A partner's agreed discount, 0 to 100.")]


def register(app: typer.Typer) -> None:
    """Add the engine's commands to ``app``."""
    app.command(epilog="Example: facet inspect ring.stl --layer-height 0.025 --json")(inspect)
    app.command(epilog="Examples: facet quote ring.stl --material silver-925 --quantity 1 --quantity 10   ·   "
                       "facet quote models/ --csv prices.csv")(quote)
    app.command(epilog="Example: facet report ring.stl -o ring.html")(report)
    app.command(epilog="Example: facet materials --process resin")(materials)
    app.command(epilog="Example: facet processes --json")(processes)
    app.command(epilog="Example: facet samples .facet/samples --quote")(samples)


def inspect(
    model: ModelPath, unit: Unit = None, layer_height: LayerHeight = 0.05, threads: Threads = None,
    cache: Cache = None, as_json: AsJson = False,
) -> None:
    """Measure a model: integrity, volumes, wall thickness, orientation, layers, reach."""
    analysis = _measure(model, unit, layer_height, threads, cache)
    _print_json(analysis.to_dict()) if as_json else tables.show_analysis(analysis, model.name)


def quote(
    models: ModelPaths, unit: Unit = None, process: Process = "casting", material: Materials = None,
    finish: Finish = None, quantity: Quantities = None, price_book: PriceBook = None, layer_height: LayerHeight = 0.05,
    discount: Discount = None, threads: Threads = None, cache: Cache = None, as_json: AsJson = False, csv_out: Annotated[
        Path | None, typer.Option("--csv", metavar="OUT", help="Many models: one row a model and material.")] = None,
) -> None:
    """Price a model in every material of a process, or in the ones named."""
    from pricing_engine.pricing.book import load_price_book
    from pricing_engine.pricing.quoting import price, quote_rows, validate_request

    book = load_price_book(price_book)
    request: dict[str, Any] = {
        "process": process, "materials": tuple(material) if material else None, "finish": finish,
        "quantities": tuple(quantity or [1]), "discount_percent": _percent(discount),
    }
    validate_request(book, **request)  # a wrong material is told before a minute of measuring
    if csv_out is None:
        if len(models) != 1 or models[0].is_dir():
            raise WrongUsage("several models or a folder need --csv OUT")
        result = price(_measure(models[0], unit, layer_height, threads, cache), book, **request)
        _print_json(result.to_dict()) if as_json else tables.show_quote(result, models[0].name)
        return
    paths = _expand(models)
    failed = 0
    with csv_out.open("w", newline="") as file:
        writer: Any = None
        for path in tables.progress(paths, "pricing"):
            try:
                rows = quote_rows(price(_measure(path, unit, layer_height, threads, cache, quiet=True), book, **request))
            except ModelError as error:
                failed += 1
                tables.complain(f"{path}: {error}")
                continue
            for row in rows:
                if writer is None:
                    writer = csv.DictWriter(file, ["model", *row])
                    writer.writeheader()
                writer.writerow({"model": str(path), **row})
    tables.complain(f"{len(paths) - failed} of {len(paths)} models priced into {csv_out}")
    if failed == len(paths):
        raise ModelError("none of the models could be read; see the lines above")


def report(
    model: ModelPath,
    out: Annotated[Path, typer.Option("-o", "--out", help="The HTML file to write.")],
    unit: Unit = None, process: Process = "casting", material: Materials = None, quantity: Quantities = None,
    price_book: PriceBook = None, layer_height: LayerHeight = 0.05, threads: Threads = None,
) -> None:
    """Write one self-contained page: the model in 3D with thin walls coloured, the checks, the price lines."""
    from pricing_engine.analysis.measure import Settings, measure
    from pricing_engine.cli.report import write_report
    from pricing_engine.pricing.book import load_price_book
    from pricing_engine.pricing.quoting import price, validate_request

    book = load_price_book(price_book)
    request: dict[str, Any] = {"process": process, "materials": tuple(material) if material else None,
                               "quantities": tuple(quantity or [1])}
    validate_request(book, **request)
    with tables.status(f"measuring {model.name}"):
        measured = measure(model, unit, Settings(layer_height_mm=_positive(layer_height)), threads)
    write_report(out, model.name, measured, price(measured.analysis, book, **request))
    tables.complain(f"wrote {out}")


def materials(
    process: Annotated[str | None, typer.Option(help="Only this process.")] = None, price_book: PriceBook = None,
    as_json: AsJson = False,
) -> None:
    """List the materials that the price book offers."""
    from pricing_engine.pricing.book import load_price_book
    from pricing_engine.pricing.quoting import offered_materials

    rows = offered_materials(load_price_book(price_book), process)
    _print_json(rows) if as_json else tables.show_rows("Materials", rows)


def processes(price_book: PriceBook = None, as_json: AsJson = False) -> None:
    """List the processes that the price book offers."""
    from pricing_engine.pricing.book import load_price_book
    from pricing_engine.pricing.quoting import offered_processes

    rows = offered_processes(load_price_book(price_book))
    _print_json(rows) if as_json else tables.show_rows("Processes", rows)


def samples(
    folder: Annotated[Path, typer.Argument(help="Where to write the sample models.")],
    quote_them: Annotated[bool, typer.Option("--quote", help="Measure and price each, against its known volume.")] = False,
    threads: Threads = None,
) -> None:
    """Write the project's own sample models as STL files."""
    from pricing_engine.mesh.samples import SAMPLES
    from pricing_engine.pricing.book import load_price_book
    from pricing_engine.pricing.quoting import price

    for make in SAMPLES.values():
        sample = make()
        path = sample.write_stl(folder)
        tables.complain(f"wrote {path}")
        if quote_them:
            analysis = _measure(path, None, 0.05, threads, None)
            tables.show_sample(sample, analysis)
            tables.show_quote(price(analysis, load_price_book(None), process="casting"), sample.title)


def _measure(
    path: Path, unit: str | None, layer_height: float, threads: int | None, cache: Path | None, quiet: bool = False
) -> Any:
    from pricing_engine.analysis.cache import cached_analysis
    from pricing_engine.analysis.measure import Settings

    with tables.status(f"measuring {path.name}", quiet):
        return cached_analysis(path, unit, Settings(layer_height_mm=_positive(layer_height)), threads, cache)


def _positive(layer_height: float) -> float:
    if not 0.001 <= layer_height <= 10:
        raise WrongUsage(f"--layer-height {layer_height}: give millimetres between 0.001 and 10")
    return layer_height


def _percent(text: str | None) -> Decimal:
    try:
        percent = Decimal(text or "0")
    except InvalidOperation:
        percent = Decimal(-1)
    if not 0 <= percent <= 100:
        raise WrongUsage(f"--discount {text}: give a percentage between 0 and 100")
    return percent


def _expand(models: list[Path]) -> list[Path]:
    """Files as given, folders as the model files in them, sorted."""
    suffixes = {".stl", ".obj", ".ply", ".off", ".3mf", ".glb", ".step", ".stp"}
    found: list[Path] = []
    for path in models:
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in suffixes) if path.is_dir() else [path]
        found.extend(inside)
    if not found:
        raise WrongUsage(f"no model files in {', '.join(map(str, models))}")
    return found


def _print_json(tree: Any) -> None:
    json.dump(tree, sys.stdout, indent=1, allow_nan=False)
    sys.stdout.write("\n")
