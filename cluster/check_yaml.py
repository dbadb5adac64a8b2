"""Check cluster files without network or account: ``python -m cluster.check_yaml FILES...``.

Recognises by content: ``ray up`` files (providers aws and local), KubeRay RayService manifests, Serve configurations.
Exit code 0: no findings; 1: findings; 2: wrong usage.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cluster.checks.finding import Finding
from cluster.checks.versions import locked_ray
from cluster.checks.yaml_reader import read_file
from pricing_engine.cli.errors import WrongUsage

LOCK = Path(__file__).parents[1] / "requirements.lock"

_WIDTH = 320  # columns where the output is no terminal: one line per finding, for grep and for CI's logs


def check_file(path: Path, ray: str) -> list[Finding]:
    """Return all findings of one file; ``ray`` is the version that requirements.lock pins."""
    document, findings = read_file(path)
    return findings if document is None else check_document(document, ray)


def check_document(document: dict[str, Any], ray: str) -> list[Finding]:
    """Return all findings of a document of any supported kind."""
    # Imported where needed: importing Ray takes a second or two.
    if "apiVersion" in document or "kind" in document:
        from cluster.checks.kuberay import check_rayservice

        return check_rayservice(document, ray)
    if "provider" in document or "cluster_name" in document:
        from cluster.checks.ray_up import check_ray_up

        return check_ray_up(document, ray)
    if "applications" in document:
        from cluster.checks.serve_config import check_serve

        return check_serve(document)
    problem = "neither a ray up file nor a Kubernetes manifest nor a Serve configuration"
    return [Finding("unknown-kind", "", problem, "provider, apiVersion or applications at the top")]


def table(found: list[tuple[Path, Finding]]) -> Table:
    """Return the findings as a table, one row each."""
    view = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("file", "key", "problem", "fix", "rule"):
        view.add_column(column, overflow="fold")
    for path, finding in found:
        style = "" if finding.severity == "error" else "dim"
        cells = (str(path), finding.key or "-", finding.problem, finding.fix, finding.code)
        view.add_row(*(Text(_printable(cell), style) for cell in cells))
    return view


def _printable(cell: str) -> str:
    """Replace characters that would move the terminal's cursor or break the line."""
    return "".join(character if character.isprintable() else "?" for character in cell)


def main(
    files: Annotated[list[Path], typer.Argument(help="Cluster files to check.")],
    lock: Annotated[Path, typer.Option(help="The lock file that pins Ray.")] = LOCK,
    ready: Annotated[bool, typer.Option("--ready", help="Also report placeholders as errors.")] = False,
) -> None:
    """Check cluster files without network or account; exit 1 if there are errors."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    try:
        ray = locked_ray(lock)
    except (OSError, ValueError) as error:
        raise WrongUsage(f"--lock: {error}; name a lock file that pins ray") from error
    found = [(path, finding) for path in files for finding in check_file(path, ray)]
    errors = [item for item in found if ready or item[1].severity == "error"]
    if found:
        console.print(table(found))
    notes = len(found) - len(errors)
    console.print(
        f"{len(files)} files: {len(errors)} errors, {notes} placeholders to replace before use", highlight=False
    )
    if errors:
        raise typer.Exit(1)


def build() -> typer.Typer:
    """Build the command."""
    app = typer.Typer(add_completion=False)
    app.command(epilog="Example: python -m cluster.check_yaml --ready ray-cluster.yaml")(main)
    return app


if __name__ == "__main__":
    try:
        build()()
    except WrongUsage as error:
        print(f"check_yaml: {error}", file=sys.stderr)
        sys.exit(2)
