"""The command line as a process: exit codes, stdout and stderr."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from pricing_engine import ENGINE_VERSION
from pricing_engine.analysis.progress import Stage
from pricing_engine.cli.main import build
from pricing_engine.mesh.samples import SAMPLES


def facet(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pricing_engine", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def band(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SAMPLES["band"]().write_stl(tmp_path_factory.mktemp("models"))


def test_inspect_prints_the_documented_json(band: Path) -> None:
    done = facet("inspect", band, "--layer-height", 0.2, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["schema"] == "facet.analysis/1"
    assert list(document) == ["schema", "engine_version", "analysis_id", "model", "integrity", "geometry", "thickness",
                          "orientation", "slices", "finishing", "checks", "elapsed_s"]  # fmt: skip
    assert set(document["elapsed_s"]) == set(Stage)


def test_quote_replays_byte_for_byte(band: Path) -> None:
    arguments = ("quote", band, "--material", "silver-925", "--quantity", 1, "--quantity", 10, "--json")
    one, seven = facet(*arguments, "--threads", 1), facet(*arguments, "--threads", 7)
    assert one.returncode == 0, one.stderr
    assert one.stdout == seven.stdout
    document = json.loads(one.stdout)
    assert document["schema"] == "facet.quote/1"
    assert [option["quantity"] for option in document["options"]] == [1, 10]


def test_without_a_material_all_are_quoted_cheapest_first(band: Path) -> None:
    document = json.loads(facet("quote", band, "--json").stdout)
    totals = [float(option["total"]) for option in document["options"]]
    assert totals == sorted(totals)
    assert len(totals) >= 10


def test_a_cached_analysis_quotes_the_same(band: Path, tmp_path: Path) -> None:
    arguments = ("quote", band, "--material", "brass", "--json")
    uncached, first, second = facet(*arguments), *(facet(*arguments, "--cache", tmp_path / "cache") for _ in range(2))
    assert uncached.stdout == first.stdout == second.stdout
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_many_models_into_one_csv(band: Path, tmp_path: Path) -> None:
    (band.parent / "noise.stl").write_bytes(b"no model at all")
    out = tmp_path / "prices.csv"
    done = facet("quote", band.parent, "--csv", out, "--material", "brass", "--material", "bronze")
    (band.parent / "noise.stl").unlink()
    assert done.returncode == 0, done.stderr
    assert "noise.stl" in done.stderr
    assert len(out.read_text().splitlines()) == 3


def test_report_is_one_self_contained_page(band: Path, tmp_path: Path) -> None:
    out = tmp_path / "band.html"
    assert facet("report", band, "-o", out).returncode == 0
    page = out.read_text()
    assert "http://" not in page
    assert "https://" not in page
    assert "<canvas" in page


@pytest.mark.parametrize("command", ["materials", "processes"])
def test_the_offer_is_printed(command: str) -> None:
    done = facet(command, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)


@pytest.mark.parametrize(
    "arguments",
    [
        ("quote", "{band}", "--process", "forging"), ("quote", "{band}", "--material", "kryptonite"),
        ("inspect", "{band}", "--unit", "furlong"), ("inspect", "{band}", "--layer-height", "0"),
        ("quote", "{band}", "{band}"), ("inspect",), ("quote", "{band}", "--quantity", "0"), ("nonsense",),
        ("inspect", "{band}", "--threads", "0"),
    ],
)  # fmt: skip
def test_wrong_usage_exits_2_in_one_message(arguments: tuple[str, ...], band: Path) -> None:
    done = facet(*(argument.format(band=band) for argument in arguments))
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n" + bytes(64), b"solid\n", bytes(80) + b"\xff" * 24])
def test_an_unreadable_model_exits_3_with_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.stl"
    path.write_bytes(content)
    done = facet("inspect", path)
    assert done.returncode == 3
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "model.stl" in done.stderr


@pytest.mark.parametrize("name", ["missing.stl", "."])
def test_a_missing_file_or_a_folder_exits_3(name: str, tmp_path: Path) -> None:
    done = facet("inspect", tmp_path / name)
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1


def test_one_facet_is_rejected_with_exit_0(tmp_path: Path) -> None:
    path = tmp_path / "one.off"
    path.write_text("OFF\n3 1 0\n0 0 0\n10 0 0\n0 10 0\n3 0 1 2\n")
    done = facet("quote", path, "--material", "brass", "--json")
    assert done.returncode == 0, done.stderr
    assert {option["verdict"] for option in json.loads(done.stdout)["options"]} == {"rejected"}


def test_a_wrong_suffix_is_reported(band: Path, tmp_path: Path) -> None:
    path = tmp_path / "band.obj"
    path.write_bytes(band.read_bytes())
    done = facet("quote", path, "--material", "brass", "--json")
    assert done.returncode == 0
    assert "STL" in done.stderr
    assert json.loads(done.stdout)["schema"] == "facet.quote/1"


@pytest.mark.parametrize("command", [("inspect",), ("quote", "--material", "brass"), ("quote", "--csv", "{out}")])
def test_an_unusable_cache_folder_exits_2_with_one_line(command: tuple[str, ...], band: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    name, *options = (argument.format(out=tmp_path / "out.csv") for argument in command)
    done = facet(name, band, *options, "--cache", tmp_path / "file")
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "name another folder" in done.stderr


def test_the_cache_is_closed_after_many_models(band: Path, tmp_path: Path) -> None:
    done = facet("quote", band, band, "--csv", tmp_path / "out.csv", "--cache", tmp_path / "cache")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["analyses.sqlite"]


def test_the_version_names_product_and_engine() -> None:
    done = facet("--version")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("facet ")
    assert done.stdout.endswith(f" (engine {ENGINE_VERSION})\n")


def test_without_arguments_help_is_printed() -> None:
    done = facet()
    assert "Traceback" not in done.stderr
    assert "inspect" in done.stdout + done.stderr


def test_the_shell_completes_commands() -> None:
    script = Path(sys.executable).with_name("facet")
    completing = {"_FACET_COMPLETE": "complete_bash", "COMP_WORDS": "facet ins", "COMP_CWORD": "1"}
    done = subprocess.run([script], env=os.environ | completing, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["inspect"]


def commands() -> Iterator[tuple[str, str]]:
    """Yield the name and the epilog of every command, those of plug-ins included."""
    groups = [("facet", typer.main.get_command(build()))]
    while groups:
        name, group = groups.pop()
        assert isinstance(group, TyperGroup)
        for word, command in group.commands.items():
            if isinstance(command, TyperGroup):
                groups.append((f"{name} {word}", command))
            else:
                yield f"{name} {word}", command.epilog or ""


@pytest.mark.parametrize(("name", "epilog"), list(commands()))
def test_every_command_has_an_example(name: str, epilog: str) -> None:
    assert "Example" in epilog
    assert name in epilog


def test_measuring_does_not_import_scipy_and_other_code_can(band: Path) -> None:
    code = f"""
import atexit, sys
from pricing_engine.cli import main
atexit.register(lambda: print([name for name in sys.modules if name.startswith("scipy")], "numba" in sys.modules))
sys.argv = ["facet", "inspect", {str(band)!r}, "--json"]
main.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[] True", done.stderr
    code = "import pricing_engine.cli.main, scipy.spatial"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
