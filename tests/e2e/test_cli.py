"""The command line as its users run it: a process, its exit code, what it prints where."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

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
    tree = json.loads(done.stdout)
    assert tree["schema"] == "facet.analysis/1"
    assert list(tree) == ["schema", "engine_version", "analysis_id", "model", "integrity", "geometry", "thickness",
                          "orientation", "slices", "finishing", "checks", "elapsed_s"]  # fmt: skip
    assert set(tree["elapsed_s"]) >= {"load", "integrity", "geometry", "thickness", "orientation", "slices", "total"}


def test_quote_replays_byte_for_byte(band: Path) -> None:
    arguments = ("quote", band, "--material", "silver-925", "--quantity", 1, "--quantity", 10, "--json")
    one, seven = facet(*arguments, "--threads", 1), facet(*arguments, "--threads", 7)
    assert one.returncode == 0, one.stderr
    assert one.stdout == seven.stdout
    tree = json.loads(one.stdout)
    assert tree["schema"] == "facet.quote/1"
    assert [option["quantity"] for option in tree["options"]] == [1, 10]


def test_without_a_material_all_are_quoted_cheapest_first(band: Path) -> None:
    tree = json.loads(facet("quote", band, "--json").stdout)
    totals = [float(option["total"]) for option in tree["options"]]
    assert totals == sorted(totals)
    assert len(totals) >= 10


def test_a_cached_analysis_quotes_the_same(band: Path, tmp_path: Path) -> None:
    arguments = ("quote", band, "--material", "brass", "--json")
    fresh, first, second = facet(*arguments), *(facet(*arguments, "--cache", tmp_path / "cache") for _ in range(2))
    assert fresh.stdout == first.stdout == second.stdout
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
def test_the_offer_is_listed(command: str) -> None:
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
def test_what_is_no_model_exits_3_with_one_line(content: bytes, tmp_path: Path) -> None:
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


def test_a_suffix_that_disagrees_is_told(band: Path, tmp_path: Path) -> None:
    path = tmp_path / "band.obj"
    path.write_bytes(band.read_bytes())
    done = facet("quote", path, "--material", "brass", "--json")
    assert done.returncode == 0
    assert "STL" in done.stderr
    assert json.loads(done.stdout)["schema"] == "facet.quote/1"
