"""Whole analyses: known volumes, peers' values on real models, and the laws that no stage may break."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import trimesh
from numpy.typing import ArrayLike

from pricing_engine.analysis.measure import Settings, measure
from pricing_engine.analysis.schema import Analysis
from pricing_engine.mesh.samples import SAMPLES, sphere
from tests.support import model_files, shared_models
from tests.support.meshes import concatenated, rotation
from tests.support.paths import SHARED_MODELS

T = TypeVar("T")
COARSE = Settings(layer_height_mm=0.2)


def analysis_of(
    vertices: ArrayLike, facets: ArrayLike, folder: Path, threads: int = 2, settings: Settings = COARSE
) -> Analysis:
    """Measure a mesh written as an OFF file, which keeps float64 positions."""
    path = folder / "model.off"
    path.write_bytes(model_files.off(np.asarray(vertices, np.float64), np.asarray(facets)))
    return measure(path, None, settings, threads).analysis


def numbers(analysis: Analysis) -> dict[str, Any]:
    """Return all that must be the same bytes: everything but the elapsed times."""
    tree = analysis.to_dict()
    del tree["elapsed_s"]
    return tree


def close_to(tree: Any, other: Any, relative: float, path: str = "") -> None:
    """Assert that two trees agree: floats to ``relative``, the rest exactly; ids and hashes of the file aside."""
    if isinstance(tree, dict):
        assert tree.keys() == other.keys()
        for key in tree.keys() - {"sha256", "analysis_id"}:
            close_to(tree[key], other[key], relative, f"{path}.{key}")
    elif isinstance(tree, list):
        assert len(tree) == len(other), path
        for index, (a, b) in enumerate(zip(tree, other, strict=True)):
            close_to(a, b, relative, f"{path}[{index}]")
    elif isinstance(tree, float):
        assert tree == pytest.approx(other, rel=relative, abs=relative), path
    else:
        assert tree == other, path


def existing(value: T | None) -> T:
    """Return a value that was measured."""
    assert value is not None
    return value


def blob() -> tuple[model_files.Vertices, model_files.Facets]:
    """Return a closed lumpy body with overhangs, and a ball that overlaps it."""
    body = trimesh.creation.icosphere(4, radius=5)
    body.vertices *= 1 + 0.3 * np.sin(body.vertices @ np.array([0.9, 0.5, 0.7]))[:, None]
    ball, ball_facets = sphere(np.array([4.0, 1.0, 2.0]), 2.5)
    vertices = np.concatenate([body.vertices, ball])
    return vertices, np.concatenate([body.faces, ball_facets + len(body.vertices)])


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_have_their_true_volume(name: str, tmp_path: Path) -> None:
    sample = SAMPLES[name]()
    analysis = measure(sample.write_stl(tmp_path), None, COARSE, 2).analysis
    assert analysis.geometry.volume_mm3 == pytest.approx(sample.volume_mm3, rel=1e-5)
    assert analysis.integrity.watertight
    layers = analysis.slices
    assert layers.area_sum_mm2 is not None
    assert layers.area_sum_mm2 * layers.layer_height_mm == pytest.approx(sample.volume_mm3, rel=0.02)


def test_same_bytes_on_any_number_of_threads(tmp_path: Path) -> None:
    path = SAMPLES["pave"]().write_stl(tmp_path)
    one = numbers(measure(path, None, COARSE, 1).analysis)
    assert one == numbers(measure(path, None, COARSE, 2).analysis)
    assert one == numbers(measure(path, None, COARSE, 7).analysis)


def test_the_order_of_facets_leaves_no_trace(tmp_path: Path) -> None:
    vertices, facets = blob()
    original = analysis_of(vertices, facets, tmp_path)
    shuffled = analysis_of(vertices, np.random.default_rng(1).permutation(facets), tmp_path)
    close_to(numbers(original), numbers(shuffled), 1e-9)


def test_a_moved_model_measures_the_same(tmp_path: Path) -> None:
    vertices, facets = blob()
    original, moved = analysis_of(vertices, facets, tmp_path), analysis_of(vertices + 64.0, facets, tmp_path)
    for field in ("volume_mm3", "signed_volume_mm3", "area_mm2", "hull_volume_mm3"):
        assert getattr(moved.geometry, field) == pytest.approx(getattr(original.geometry, field), rel=1e-7)
    assert moved.thickness.sphere.p50_mm == pytest.approx(original.thickness.sphere.p50_mm, rel=1e-4)
    assert moved.slices.area_sum_mm2 == pytest.approx(original.slices.area_sum_mm2, rel=1e-7)
    assert moved.orientation.as_given.support_volume_mm3 == pytest.approx(
        original.orientation.as_given.support_volume_mm3, rel=1e-3
    )


def test_a_turned_model_measures_the_same(tmp_path: Path) -> None:
    vertices, facets = blob()
    turn = rotation(1.1, [1, 2, 3])
    original, turned = analysis_of(vertices, facets, tmp_path), analysis_of(vertices @ turn.T, facets, tmp_path)
    for field in ("volume_mm3", "signed_volume_mm3", "area_mm2", "hull_volume_mm3"):
        assert getattr(turned.geometry, field) == pytest.approx(getattr(original.geometry, field), rel=1e-7)
    assert turned.geometry.center_of_mass_mm == pytest.approx(
        turn @ existing(original.geometry.center_of_mass_mm), abs=1e-6
    )
    assert turned.thickness.sphere.p50_mm == pytest.approx(original.thickness.sphere.p50_mm, rel=1e-4)
    assert turned.thickness.ray.p05_mm == pytest.approx(original.thickness.ray.p05_mm, rel=1e-4)
    for radius, share in original.finishing.reach_area_fraction.items():
        assert turned.finishing.reach_area_fraction[radius] == pytest.approx(share, abs=0.01)
    # the directions tried are spread over the sphere but not turned with the model
    assert turned.orientation.best.support_volume_mm3 == pytest.approx(
        original.orientation.best.support_volume_mm3, rel=0.1
    )


def test_a_scaled_model_scales(tmp_path: Path) -> None:
    vertices, facets = blob()
    original = analysis_of(vertices, facets, tmp_path)
    doubled = analysis_of(vertices * 2, facets, tmp_path, settings=Settings(layer_height_mm=0.4))
    assert doubled.geometry.volume_mm3 == pytest.approx(8 * existing(original.geometry.volume_mm3), rel=1e-7)
    assert doubled.geometry.area_mm2 == pytest.approx(4 * existing(original.geometry.area_mm2), rel=1e-9)
    assert doubled.thickness.ray.p50_mm == pytest.approx(2 * existing(original.thickness.ray.p50_mm), rel=1e-5)
    assert doubled.thickness.sphere.p05_mm == pytest.approx(2 * existing(original.thickness.sphere.p05_mm), rel=1e-4)
    assert doubled.slices.area_sum_mm2 == pytest.approx(4 * existing(original.slices.area_sum_mm2), rel=1e-6)
    assert doubled.slices.layers == original.slices.layers
    assert doubled.orientation.best.support_volume_mm3 == pytest.approx(
        8 * existing(original.orientation.best.support_volume_mm3), rel=1e-3
    )


def test_a_cube_has_no_thin_area(tmp_path: Path) -> None:
    cube = trimesh.creation.box((10, 10, 10))
    analysis = analysis_of(cube.vertices, cube.faces, tmp_path)
    assert analysis.thickness.thin_area_fraction == {"0.5": 0.0, "0.8": 0.0, "1.0": 0.0}
    assert analysis.thickness.ray.p50_mm == pytest.approx(10, rel=1e-6)
    assert analysis.geometry.volume_mm3 == pytest.approx(1000)
    assert analysis.orientation.as_given.support_volume_mm3 == 0
    assert not [check for check in analysis.checks if check.severity != "info"]


def test_what_overlapping_shells_hide_is_no_surface(tmp_path: Path) -> None:
    one, other = trimesh.creation.box((4, 4, 4)), trimesh.creation.box((4, 4, 4))
    other.apply_translation((2, 1, 1))
    both = concatenated([one, other])
    geometry = analysis_of(both.vertices, both.faces, tmp_path).geometry
    union = trimesh.boolean.union([one, other], engine="manifold")
    assert geometry.area_mm2 == pytest.approx(2 * 96)
    assert geometry.surface_area_mm2 == pytest.approx(union.area, rel=1e-6)
    assert geometry.volume_mm3 == pytest.approx(union.volume, rel=1e-6)


def test_one_facet_is_measured_as_nothing_to_make(tmp_path: Path) -> None:
    analysis = analysis_of([[0, 0, 0], [10, 0, 0], [0, 10, 0]], [[0, 1, 2]], tmp_path)
    assert analysis.geometry.volume_mm3 == 0
    assert "no_volume" in {check.code for check in analysis.checks}


@pytest.mark.parametrize("name", shared_models.reference())
def test_real_models_agree_with_two_peers(name: str) -> None:
    expected = shared_models.reference()[name]
    settings = Settings(layer_height_mm=_height(expected) / 100)
    analysis = measure(SHARED_MODELS / name, None, settings, 2).analysis
    bitwise, integrity = expected["bitwise"], analysis.integrity
    assert (analysis.model.facets, analysis.model.vertices) == (bitwise["facets"], bitwise["vertices"])
    for field in ("watertight", "boundary_edges", "non_manifold_edges", "bodies"):
        assert getattr(integrity, field) == bitwise[field], field
    assert analysis.geometry.area_mm2 == pytest.approx(expected["trimesh"]["area"], rel=1e-6)
    if not bitwise["watertight"]:
        return
    assert analysis.geometry.signed_volume_mm3 == pytest.approx(expected["trimesh"]["volume"], rel=1e-6)
    rays = expected["thickness_open3d_facets"]
    assert analysis.thickness.ray.p05_mm == pytest.approx(rays["p5"], rel=1e-3)
    assert analysis.thickness.ray.p50_mm == pytest.approx(rays["p50"], rel=1e-3)


def _height(expected: dict[str, Any]) -> float:
    low, high = expected["trimesh"]["bbox"]
    return float(high[2] - low[2])
