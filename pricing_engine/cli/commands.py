"""The engine's commands."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal

import typer

from pricing_engine.cli import tables
from pricing_engine.cli.errors import WrongUsage
from pricing_engine.mesh.errors import ModelError
from pricing_engine.mesh.raw_mesh import READER_NOTES

if TYPE_CHECKING:
    from pricing_engine.analysis.measure import Settings
    from pricing_engine.analysis.schema import Analysis

    Measure = Callable[[Path, str | None, Settings], Analysis]

ModelPath = Annotated[Path, typer.Argument(metavar="MODEL", help="STL, OBJ, PLY, OFF, 3MF, GLB or STEP file.")]
ModelPaths = Annotated[
    list[Path], typer.Argument(metavar="MODEL...", help="A model; with --csv, several models or folders.")
]
Unit = Annotated[
    str | None, typer.Option(help="Unit of the file: mm (default), cm, m or in. 3MF, STEP and GLB carry their own.")
]
LayerHeight = Annotated[float, typer.Option(help="Layer height in mm, 0.001 to 10.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Number of threads, by default one per core; results are identical for any.")
]
Cache = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder that caches analyses; without it every call measures again.")
]
Csv = Annotated[
    Path | None,
    typer.Option("--csv", metavar="OUT", help="Price many models and write one row per model, material and quantity."),
]
OnRay = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="[ADDRESS]",
        help="Measure on a Ray cluster (host:port, ray://..., auto; default: a local one) with the same results.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AsAnalysis = Annotated[bool, typer.Option("--json", help="Print JSON: facet.analysis/1, see docs/interface.md.")]
AsQuote = Annotated[bool, typer.Option("--json", help="Print JSON: facet.quote/1, see docs/interface.md.")]
Process = Annotated[str, typer.Option(help="Process: casting, resin or powder-bed.")]
Materials = Annotated[
    list[str] | None,
    typer.Option("--material", help="Material id (see `facet materials`); repeat for several. Default: all."),
]
Finish = Annotated[str | None, typer.Option(help="Finish id (see `facet processes`). Default: the process's own.")]
Quantities = Annotated[
    list[int] | None, typer.Option("--quantity", min=1, help="Number of pieces, by default 1; repeat for several.")
]
PriceBook = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Price book (TOML) to use instead of the default one.")
]
Partner = Annotated[str | None, typer.Option(help="Partner named in the price book, for its agreed discount.")]
Engraving = Annotated[int, typer.Option(min=0, metavar="LETTERS", help="Number of letters engraved on each piece.")]
Plating = Annotated[str | None, typer.Option(help="Plating id (casting; see `facet processes`).")]
Stones = Annotated[
    list[str] | None,
    typer.Option(
        "--stones",
        metavar="SETTING=N",
        help="Setting id (casting; see `facet processes`) and number of stones on each piece; repeat for several.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the engine's commands to ``app``."""
    app.command(epilog="Example: facet inspect ring.stl --layer-height 0.025 --json")(inspect)
    app.command(
        epilog="Examples: facet quote ring.stl --material silver-925 --stones pave=12 --quantity 1 --quantity 10; "
        "facet quote models/ --csv prices.csv"
    )(quote)
    app.command(epilog="Example: facet report ring.stl -o ring.html")(report)
    app.command(epilog="Example: facet materials --process resin")(materials)
    app.command(epilog="Example: facet processes --json")(processes)
    app.command(epilog="Example: facet samples .facet/samples --quote --format ply")(samples)


def inspect(
    model: ModelPath,
    unit: Unit = None,
    layer_height: LayerHeight = 0.05,
    threads: Threads = None,
    cache: Cache = None,
    on_ray: OnRay = None,
    as_json: AsAnalysis = False,
) -> None:
    """Measure a model: integrity, volumes, wall thickness, orientation, layers, reach."""
    with _measuring(threads, cache, on_ray) as measured:
        analysis = _measure(measured, model, unit, layer_height)
    if as_json:
        _print_json(analysis.to_dict())
    else:
        tables.show_analysis(analysis, model.name)


def quote(
    models: ModelPaths,
    unit: Unit = None,
    process: Process = "casting",
    material: Materials = None,
    finish: Finish = None,
    quantity: Quantities = None,
    price_book: PriceBook = None,
    partner: Partner = None,
    engraving: Engraving = 0,
    plating: Plating = None,
    stones: Stones = None,
    layer_height: LayerHeight = 0.05,
    csv_out: Csv = None,
    threads: Threads = None,
    cache: Cache = None,
    on_ray: OnRay = None,
    as_json: AsQuote = False,
) -> None:
    """Price a model in all materials of a process, cheapest first, or in those given.

    With --csv, price many models; those that can't be read are reported and left out.
    """
    from pricing_engine.pricing.book import load_price_book
    from pricing_engine.pricing.quote import ROW_COLUMNS, Request, check_request, quote_rows
    from pricing_engine.pricing.quote import quote as price
    from pricing_engine.processes.part import Extras

    book = load_price_book(price_book)
    extras = Extras(engraving, _stones(stones), plating, partner)
    request = Request(process, material or None, finish, tuple(quantity or [1]), extras)
    check_request(book, request)  # report a wrong material before measuring
    if csv_out is None:
        if len(models) != 1 or models[0].is_dir():
            raise WrongUsage("several models or a folder need --csv OUT")
        with _measuring(threads, cache, on_ray) as measured:
            priced = price(_measure(measured, models[0], unit, layer_height), book, request)
        if as_json:
            _print_json(priced.to_dict())
        else:
            tables.show_quote(priced, models[0].name)
        return
    paths = _expand(models)
    failed = 0
    with _open_csv(csv_out) as file, _measuring(threads, cache, on_ray) as measured:
        writer = csv.DictWriter(file, ["model", *ROW_COLUMNS])
        writer.writeheader()
        for path in tables.progress(paths, "pricing"):
            try:
                analysis = _measure(measured, path, unit, layer_height, quiet=True)
            except ModelError as error:
                failed += 1
                tables.log(f"{path}: {error}")
                continue
            writer.writerows({"model": str(path), **row} for row in quote_rows(price(analysis, book, request)))
    tables.log(f"{len(paths) - failed} of {len(paths)} models priced into {csv_out}")
    if failed == len(paths):
        raise ModelError("none of the models could be read; see the lines above")


def report(
    model: ModelPath,
    out: Annotated[Path, typer.Option("-o", "--out", help="The HTML file to write.")],
    unit: Unit = None,
    process: Process = "casting",
    material: Materials = None,
    finish: Finish = None,
    quantity: Quantities = None,
    price_book: PriceBook = None,
    layer_height: LayerHeight = 0.05,
    threads: Threads = None,
) -> None:
    """Write a self-contained HTML page with the model in 3D, thin walls in colour, the checks and the price lines."""
    from pricing_engine.cli.report import write_report
    from pricing_engine.pricing.book import load_price_book
    from pricing_engine.pricing.quote import Request, check_request
    from pricing_engine.pricing.quote import quote as price

    book = load_price_book(price_book)
    request = Request(process, material or None, finish, tuple(quantity or [1]))
    check_request(book, request)
    settings = _settings(layer_height)
    _import_numba()
    from pricing_engine.analysis.measure import measure

    with tables.status(f"measuring {model.name}"), _with_path(model):
        measured = measure(model, _unit(unit), settings, threads)
    write_report(out, model.name, measured, price(measured.analysis, book, request))
    tables.log(f"wrote {out}")


def materials(
    process: Annotated[str | None, typer.Option(help="List only the materials of this process.")] = None,
    price_book: PriceBook = None,
    as_json: AsJson = False,
) -> None:
    """List the materials of the price book."""
    from pricing_engine.pricing.book import load_price_book, offer
    from pricing_engine.processes.errors import UnknownProcess

    offered = offer(load_price_book(price_book))["processes"]
    if process and process not in {entry["id"] for entry in offered}:
        raise UnknownProcess(process, [entry["id"] for entry in offered])
    rows = [
        {"process": entry["id"], **item}
        for entry in offered
        if process in (None, entry["id"])
        for item in entry["materials"]
    ]
    if as_json:
        _print_json(rows)
    else:
        tables.show_rows("Materials", rows)


def processes(price_book: PriceBook = None, as_json: AsJson = False) -> None:
    """List the processes of the price book, with their finishes and extras."""
    from pricing_engine.pricing.book import load_price_book, offer

    offered = offer(load_price_book(price_book))
    if as_json:
        _print_json(offered)
        return
    rows = []
    for entry in offered["processes"]:
        extras = [item["id"] for kind in ("platings", "stone_settings") for item in entry.get(kind, ())]
        rows.append(
            {
                "process": entry["id"],
                "label": entry["label"],
                "materials": len(entry["materials"]),
                "finishes": [item["id"] for item in entry["finishes"]],
                "platings and settings": extras,
            }
        )
    tables.show_rows("Processes", rows)


def samples(
    folder: Annotated[Path, typer.Argument(help="Folder to write the sample models to.")],
    with_quotes: Annotated[
        bool, typer.Option("--quote", help="Measure and price each, and compare with its true volume.")
    ] = False,
    file_format: Annotated[
        Literal["stl", "obj", "ply", "off", "glb"], typer.Option("--format", help="Format of the files.")
    ] = "stl",
    threads: Threads = None,
) -> None:
    """Write the sample models, by default as STL files."""
    from pricing_engine.mesh.samples import SAMPLES
    from pricing_engine.pricing.book import load_price_book
    from pricing_engine.pricing.quote import Request
    from pricing_engine.pricing.quote import quote as price

    for make in SAMPLES.values():
        sample = make()
        path = sample.write(folder, file_format)
        tables.log(f"wrote {path}")
        if with_quotes:
            with _measuring(threads, None, None) as measured:
                analysis = _measure(measured, path, None, 0.05)
            tables.show_sample(sample, analysis)
            tables.show_quote(price(analysis, load_price_book(None), Request()), sample.title)


@contextmanager
def _measuring(threads: int | None, cache: Path | None, on_ray: str | None) -> Iterator[Measure]:
    """Yield the function that measures a model, in this process or on a Ray cluster, through the cache if there is one.

    Raises WrongUsage for a cache folder that can't be used.
    """
    _import_numba()
    from pricing_engine.analysis.cache import AnalysisCache, CacheError, cached_analysis
    from pricing_engine.analysis.measure import measure

    def measure_locally(path: Path, unit: str | None, settings: Settings) -> Analysis:
        return measure(path, unit, settings, threads).analysis

    with ExitStack() as stack:
        try:
            store = None if cache is None else stack.enter_context(AnalysisCache(cache))
            run: Measure = measure_locally
            if on_ray is not None:
                from pricing_engine.distributed.client import measure_on_cluster
                from pricing_engine.distributed.connect import cluster

                stack.enter_context(cluster(on_ray, threads))
                run = measure_on_cluster
            yield partial(cached_analysis, run, store)
        except CacheError as error:
            raise WrongUsage(f"--cache {cache}: can't store analyses ({error}); name another folder") from error


def _import_numba() -> None:
    """Import numba with scipy blocked: it would import it to check its version and its BLAS, a fifth of a second.

    No kernel calls BLAS. Other commands, and plug-ins, can import scipy as usual.
    """
    if "numba" in sys.modules or "scipy" in sys.modules:
        return
    sys.modules["scipy"] = None  # type: ignore[assignment]
    try:
        import numba.np.arraymath  # noqa: F401  # the module that checks for BLAS, imported by the first kernel otherwise
    finally:
        del sys.modules["scipy"]


def _measure(measured: Measure, path: Path, unit: str | None, layer_height: float, quiet: bool = False) -> Analysis:
    settings = _settings(layer_height)
    with tables.status(f"measuring {path.name}", quiet), _with_path(path):
        analysis = measured(path, _unit(unit), settings)
    for check in analysis.checks:
        if check.code in READER_NOTES:
            tables.log(f"{path}: {check.message}")
    return analysis


@contextmanager
def _with_path(path: Path) -> Iterator[None]:
    """Prefix the message of a ModelError with the path."""
    try:
        yield
    except ModelError as error:
        raise type(error)(f"{path}: {error}") from error


def _settings(layer_height: float) -> Settings:
    from pricing_engine.analysis.measure import Settings

    if not 0.001 <= layer_height <= 10:
        raise WrongUsage(f"--layer-height {layer_height}: give millimetres between 0.001 and 10")
    return Settings(layer_height_mm=layer_height)


def _unit(unit: str | None) -> str | None:
    from pricing_engine.mesh.load import UNITS

    if unit is not None and unit not in UNITS:
        raise WrongUsage(f"--unit {unit}: give one of {', '.join(UNITS)}")
    return unit


def _stones(settings: list[str] | None) -> dict[str, int] | None:
    """Parse ``["pave=12"]`` into ``{"pave": 12}``."""
    counts: dict[str, int] = {}
    for text in settings or ():
        name, _, count = text.partition("=")
        if not count.isdecimal():
            raise WrongUsage(f"--stones {text}: give SETTING=NUMBER, as in pave=12")
        counts[name] = counts.get(name, 0) + int(count)
    return counts or None


def _open_csv(path: Path) -> IO[str]:
    try:
        return path.open("w", newline="")
    except OSError as error:
        raise WrongUsage(f"{path}: can't be written ({error.strerror}); name another file with --csv") from error


def _expand(models: list[Path]) -> list[Path]:
    """Return files as given and folders expanded to their model files, sorted."""
    suffixes = {".stl", ".obj", ".ply", ".off", ".3mf", ".glb", ".step", ".stp"}
    found: list[Path] = []
    for path in models:
        found.extend(sorted(p for p in path.rglob("*") if p.suffix.lower() in suffixes) if path.is_dir() else [path])
    if not found:
        raise WrongUsage(f"no model files in {', '.join(map(str, models))}")
    return found


def _print_json(document: Any) -> None:
    json.dump(document, sys.stdout, indent=1, allow_nan=False)
    sys.stdout.write("\n")
