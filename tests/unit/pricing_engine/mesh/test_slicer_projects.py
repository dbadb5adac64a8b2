"""Slicer projects (``mesh/slicer_project.py``) in a 3MF: roles of parts, negative volumes, broken settings."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import manifold3d
import numpy as np
import pytest

from pricing_engine.analysis.measure import Settings, measure
from pricing_engine.mesh.errors import CorruptModel, EmptyModel, ModelError
from pricing_engine.processes.price_tables import ReviewLimits
from pricing_engine.processes.verdict import model_reasons
from tests.support import model_files as writers
from tests.support.threemf_files import (
    BAMBU,
    BIG,
    CURA,
    MM,
    MODEL,
    PRUSA,
    SMALL,
    Load,
    Part,
    bambu,
    box,
    codes,
    inside_out,
    item,
    joined,
    loader,
    model,
    objects,
    prusa,
    volume,
)


@pytest.fixture
def load(tmp_path: Path) -> Load:
    return loader(tmp_path)


NO_MATERIAL = ["ParameterModifier", "SupportBlocker", "SupportEnforcer"]


class TestSlicerProjects:
    @pytest.mark.parametrize("role", NO_MATERIAL)
    def test_roles_of_prusa_slicer_are_read(self, load: Load, role: str) -> None:
        loaded = load(prusa([BIG, box(30, (20, 0, 0))], ["ModelPart", role]))
        assert volume(loaded) == pytest.approx(1000)
        assert codes(loaded) == ["slicer_parts_left_out"]

    def test_model_parts_and_the_key_of_old_files(self, load: Load) -> None:
        assert volume(load(prusa([BIG, box(2, (20, 0, 0))], ["ModelPart", "ModelPart"]))) == pytest.approx(1008)
        assert volume(load(prusa([BIG, box(2, (20, 0, 0))], ["0", "1"], key="modifier"))) == pytest.approx(1000)

    @pytest.mark.parametrize("role", ["modifier_part", "support_blocker", "support_enforcer"])
    def test_roles_of_bambu_studio_are_read(self, load: Load, role: str) -> None:
        loaded = load(bambu([BIG, box(30, (20, 0, 0))], ["normal_part", role]))
        assert volume(loaded) == pytest.approx(1000)
        assert codes(loaded) == ["slicer_parts_left_out"]

    @pytest.mark.parametrize("key", ["support_mesh", "anti_overhang_mesh", "cutting_mesh", "infill_mesh"])
    @pytest.mark.parametrize("form", [
        '<metadatagroup><metadata name="cura:{}">{}</metadata></metadatagroup>',
        '<cura:settings><cura:setting key="{}">{}</cura:setting></cura:settings>'])  # fmt: skip
    def test_settings_of_cura_are_read(self, load: Load, key: str, form: str) -> None:
        def content(value: str) -> bytes:
            second = f'<object id="2">{form.format(key, value)}{writers.mesh_xml(*box(30, (20, 0, 0)))}</object>'
            return model(objects(BIG) + second, item(1, 2), f"{MM} {CURA}")

        assert volume(load(content("True"))) == pytest.approx(1000)
        assert codes(load(content("True"))) == ["slicer_parts_left_out"]
        assert volume(load(content("False"))) == pytest.approx(28000)
        assert codes(load(content("False"))) == []

    @pytest.mark.parametrize("value", ["0", "false"])
    def test_items_that_are_not_printable(self, load: Load, value: str) -> None:
        hidden = item(2, more=f' printable="{value}"')
        loaded = load(model(objects(BIG, SMALL), item(1, more=' printable="1"') + hidden))
        assert volume(loaded) == pytest.approx(1000)
        assert codes(loaded) == ["not_printable"]
        with pytest.raises(EmptyModel, match="not printable"):
            load(model(objects(BIG, SMALL), hidden))

    def test_plates_are_reported(self, load: Load) -> None:
        plates = "".join(
            f'<plate><metadata key="plater_id" value="{n}"/><metadata key="plater_name" value="{name}"/>'
            '<model_instance><metadata key="object_id" value="9"/></model_instance></plate>'
            for n, name in ((1, "left"), (2, ""))
        )
        loaded = load(bambu([BIG], ["normal_part"], plates=plates))
        assert codes(loaded) == ["plates"]
        assert "'left': object 9; '2': object 9" in loaded.notes[0].message

    def test_unknown_parts_need_review(self, tmp_path: Path, load: Load) -> None:
        unknown = prusa([BIG, box(2, (20, 0, 0))], ["ModelPart", "Mystery"])
        assert volume(load(unknown)) == pytest.approx(1008)
        assert codes(load(unknown)) == ["unknown_slicer_parts"]
        (tmp_path / "u.3mf").write_bytes(unknown)
        check = next(c for c in measure(tmp_path / "u.3mf", None, Settings(), 1).analysis.checks if "unknown" in c.code)
        assert (check.severity, "Mystery" in check.message) == ("warning", True)
        limits = ReviewLimits(Decimal(1), Decimal(0))
        reasons = model_reasons(measure(tmp_path / "u.3mf", None, Settings(), 1).analysis, None, limits)
        assert next(reason for reason in reasons if reason.code == check.code).severity == "warning"
        config = '<config><object id="1"><volume firstid="0" lastid="3"/></object></config>'
        short = writers.package({MODEL: writers.model_xml(objects(BIG), item(1)), PRUSA: config})
        assert volume(load(short)) == pytest.approx(1000)
        assert codes(load(short)) == ["unknown_slicer_parts"]
        stale = bambu([BIG], ["normal_part"], plates='<object id="9"><part id="77" subtype="negative_part"/></object>')
        assert codes(load(stale)) == ["unknown_slicer_parts"]

    def test_settings_that_change_the_shape(self, load: Load) -> None:
        plates = '<object id="9"><metadata key="hollowing_enable" value="1"/></object>'
        assert codes(load(bambu([BIG], ["normal_part"], plates=plates))) == ["slicer_changes_shape"]
        assert codes(load(bambu([BIG], ["normal_part"], plates=plates.replace('"1"', '"0"')))) == []


class TestNegativeVolumes:
    @pytest.mark.parametrize(
        ("solid", "negative", "expected"),
        [(BIG, SMALL, 1000 - 64),
         (BIG, box((4, 4, 20), (3, 3, -5)), 1000 - 160),
         (BIG, box(10, (5, 5, 5)), 1000 - 125),
         (BIG, box(10, (10, 0, 0)), 1000), (BIG, box(3, (40, 0, 0)), 1000),
         (BIG, box((4, 4, 5), (3, 3, 5)), 1000 - 80),
         (BIG, joined(box(2, (1, 1, 1)), box(3, (9, 4, 4)), box(2, (2, 2, 2))), 1000 - 15 - 9),
         (BIG, inside_out(SMALL), 1000 - 64),
         (BIG, joined(box(8, (1, 1, 1)), inside_out(box(4, (3, 3, 3)))), 1000 - 512 + 64),
         (joined(BIG, inside_out(box(8, (1, 1, 1)))), box((4, 4, 20), (3, 3, -5)), 488 - 32),
         (joined(BIG, box(2, (30, 0, 0))), SMALL, 1008 - 64),
         (BIG, joined(box(2, (1, 1, 1)), box(2, (3, 1, 1)), box(2, (3, 3, 1))), 1000 - 24)],
    )  # fmt: skip
    def test_negative_volumes_are_subtracted(self, load: Load, solid: Part, negative: Part, expected: float) -> None:
        loaded = load(prusa([solid, negative], ["ModelPart", "NegativeVolume"]))
        assert volume(loaded) == pytest.approx(expected, rel=1e-9)
        assert codes(loaded) == ["negative_parts_subtracted"]

    def test_belong_to_their_object_and_move_with_it(self, load: Load) -> None:
        turn = ' transform="0 1 0 -1 0 0 0 0 1 100 50 0"'
        assert volume(load(bambu([BIG, SMALL], ["normal_part", "negative_part"], turn))) == pytest.approx(936)
        component = '<component objectid="1" transform="1 0 0 0 1 0 0 0 1 50 0 0"/>'
        copy = f'<object id="2"><components>{component}</components></object>'
        copies = prusa([BIG, SMALL], ["ModelPart", "NegativeVolume"], copies=copy)
        assert volume(load(copies)) == pytest.approx(2 * 936)
        both = load(bambu([BIG, SMALL, box(10, (20, 0, 0)), box(10, (25, 0, 0))],
                          ["normal_part", "negative_part", "normal_part", "negative_part"]))  # fmt: skip
        assert volume(both) == pytest.approx(936 + 500)

    def test_random_boxes_agree_with_manifold(self, tmp_path: Path) -> None:
        """The parts overlap, so compare the measured volume, not the signed one."""
        random, union = np.random.default_rng(5), manifold3d.Manifold.batch_boolean
        for _ in range(3):
            solids = [box(random.uniform(1, 8, 3), random.uniform(0, 5, 3)) for _ in range(6)]
            bodies = [manifold3d.Manifold(manifold3d.Mesh64(v, f.astype(np.uint64))) for v, f in solids]
            expected = union(bodies[:3], manifold3d.OpType.Add) - union(bodies[3:], manifold3d.OpType.Add)
            content = prusa([*solids[:3], joined(*solids[3:])], ["ModelPart"] * 3 + ["NegativeVolume"])
            (tmp_path / "r.3mf").write_bytes(content)
            measured = measure(tmp_path / "r.3mf", None, Settings(), 1).analysis.geometry.volume_mm3
            assert measured == pytest.approx(expected.volume(), rel=1e-7)

    def test_open_meshes_are_rejected(self, load: Load) -> None:
        holed = SMALL[0], SMALL[1][:11]
        pulled = SMALL[0].copy()
        pulled[7] = (-20.0, 4.0, 4.0)  # one corner moved through the opposite face
        for parts in ([BIG, holed], [BIG, (pulled, SMALL[1])], [holed, box(2, (4, 4, 4))]):
            with pytest.raises(CorruptModel, match="negative volume"):
                load(prusa(parts, ["ModelPart", "NegativeVolume"]))

    def test_a_part_of_which_nothing_remains_is_rejected(self, load: Load) -> None:
        with pytest.raises(EmptyModel, match="subtracted"):
            load(prusa([SMALL, BIG], ["ModelPart", "NegativeVolume"]))


class TestBrokenSettings:
    @pytest.mark.parametrize(
        "config",
        ["", "<config", "<config><object id='1'><volume firstid='0' lastid='x'/></object></config>",
         "<config><object id='1'><volume firstid='5' lastid='2'/></object></config>",
         "<config><object id='1'><volume firstid='-3' lastid='2'/></object></config>",
         "<config><object id='1'><volume firstid='0' lastid='99999999999999999999'/></object></config>",
         "<config><object id='1'><volume firstid='0' lastid='6'/><volume firstid='6' lastid='11'/></object></config>",
         "<config><object id='1'><volume firstid='0'/></object></config>",
         "<!DOCTYPE c [<!ENTITY a 'b'>]><config/>"],
    )  # fmt: skip
    @pytest.mark.parametrize("name", [PRUSA, BAMBU])
    def test_broken_settings_are_rejected(self, load: Load, name: str, config: str) -> None:
        with pytest.raises(CorruptModel):
            load(writers.package({MODEL: writers.model_xml(objects(BIG), item(1)), name: config}))

    def test_expanding_settings_are_rejected(self, load: Load) -> None:
        blank = "<config>" + " " * (70 << 20) + "</config>"
        with pytest.raises(ModelError, match=r"larger|bomb"):
            load(writers.package({MODEL: writers.model_xml(objects(BIG), item(1)), BAMBU: blank}))
        many = joined(*(box(0.5, (x, y, 0)) for x in range(40) for y in range(30)))
        with pytest.raises(CorruptModel, match="1200 shells"):
            load(prusa([box(50), many], ["ModelPart", "NegativeVolume"]))
