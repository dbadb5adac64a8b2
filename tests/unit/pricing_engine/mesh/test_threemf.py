"""3MF (``mesh/threemf.py``) by its specifications: namespaces, types, placeholders, part names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pricing_engine.mesh.errors import CorruptModel, EmptyModel
from tests.support import model_files as writers
from tests.support.threemf_files import (
    BEAMS,
    BIG,
    MM,
    MODEL,
    PA,
    SLICE,
    SMALL,
    Load,
    P,
    box,
    codes,
    item,
    loader,
    model,
    objects,
    volume,
)


@pytest.fixture
def load(tmp_path: Path) -> Load:
    return loader(tmp_path)


class TestNamespaces:
    def test_core_may_have_a_prefix(self, load: Load) -> None:
        xml = writers.model_xml(objects(BIG), item(1), MM + f' xmlns:c="{writers.CORE}"')
        for tag in (
            "model",
            "resources",
            "object",
            "mesh",
            "vertices",
            "vertex",
            "triangles",
            "triangle",
            "build",
            "item",
        ):
            xml = (
                xml.replace(f"<{tag} ", f"<c:{tag} ")
                .replace(f"<{tag}>", f"<c:{tag}>")
                .replace(f"</{tag}>", f"</c:{tag}>")
            )
        assert volume(load(writers.package({MODEL: xml.replace(f' xmlns="{writers.CORE}"', "")}))) == pytest.approx(
            1000
        )

    def test_the_namespace_before_version_1(self, load: Load) -> None:
        xml = writers.model_xml(objects(BIG), item(1))
        old = xml.replace(writers.CORE, "http://schemas.microsoft.com/3dmanufacturing/2013/01")
        assert (volume(load(writers.package({MODEL: old}))), codes(load(writers.package({MODEL: old})))) == (1000, [])

    @pytest.mark.parametrize(
        ("place", "foreign"),
        [("</vertices>", '<x:vertex x="0" y="0" z="0"/>'), ("</triangles>", '<x:triangle v1="0" v2="1" v3="2"/>'),
         ("</triangles>", '<x:more><triangle v1="0" v2="1" v3="2"/></x:more>'),
         ("</resources>", '<x:more><object id="7"><mesh/></object></x:more>'),
         ("</build>", '<x:item objectid="1"/>'), ("</build>", '<x:more><item objectid="1"/></x:more>')],
    )  # fmt: skip
    def test_foreign_elements_do_not_count(self, load: Load, place: str, foreign: str) -> None:
        xml = writers.model_xml(objects(BIG), item(1), MM + ' xmlns:x="http://example.org/x"')
        loaded = load(writers.package({MODEL: xml.replace(place, foreign + place, 1)}))
        assert volume(loaded) == pytest.approx(1000)
        assert loaded.mesh.facet_count == 12
        assert codes(loaded) == ["extension_not_read"]
        assert "example.org/x" in loaded.notes[0].message

    def test_foreign_attribute_is_noted_unless_of_a_slicer(self, load: Load) -> None:
        spaces = ' xmlns:x="urn:x" xmlns:slic3rpe="http://schemas.slic3r.org/3mf/2017/06"'
        xml = writers.model_xml(objects(BIG), item(1), MM + spaces)
        painted = xml.replace("<triangle ", '<triangle slic3rpe:mmu_segmentation="4" ', 1)
        assert codes(load(writers.package({MODEL: painted}))) == []
        assert codes(load(writers.package({MODEL: xml.replace("<triangle ", '<triangle x:bulge="4" ', 1)}))) == [
            "extension_not_read"
        ]

    @pytest.mark.parametrize(
        "attributes",
        [
            f'{BEAMS} requiredextensions="b"',
            'xmlns:u="http://x/core/y" requiredextensions="u"',
            'requiredextensions="b"',
        ],
    )
    def test_required_extensions_are_those_that_prefixes_name(self, load: Load, attributes: str) -> None:
        with pytest.raises(CorruptModel, match="needs the extension"):
            load(model(objects(BIG), item(1), f"{MM} {attributes}"))

    def test_optional_beam_lattice_is_noted(self, load: Load) -> None:
        lattice = '<b:beamlattice radius="2" minlength="0.1"><b:beams><b:beam v1="0" v2="7"/></b:beams></b:beamlattice>'
        xml = writers.model_xml(objects(BIG), item(1), f"{MM} {BEAMS}").replace("</mesh>", lattice + "</mesh>")
        loaded = load(writers.package({MODEL: xml}))
        assert volume(loaded) == pytest.approx(1000)
        assert "beam" in loaded.notes[0].message

    def test_a_root_that_is_no_model_is_refused(self, load: Load) -> None:
        for xml in ("<model/>", '<model xmlns="http://example.org"/>', f'<object xmlns="{writers.CORE}"/>'):
            with pytest.raises(CorruptModel, match="not a 3MF model"):
                load(writers.package({MODEL: xml}))


class TestTypes:
    @pytest.mark.parametrize("kind", ["model", "support", "solidsupport", "surface", "other"])
    def test_components_count_whatever_the_type_of_their_object(self, load: Load, kind: str) -> None:
        tree = f'<object id="2" type="{kind}"><components><component objectid="1"/></components></object>'
        loaded = load(model(objects(BIG) + tree, item(2)))
        assert volume(loaded) == pytest.approx(1000)
        assert codes(loaded) == []

    @pytest.mark.parametrize(("kind", "code"), [("support", "not_model_objects"), ("solidsupport", "not_model_objects"),
                                                ("other", "other_objects_left_out")])  # fmt: skip
    def test_objects_that_are_not_material(self, load: Load, kind: str, code: str) -> None:
        other = f'<object id="2" type="{kind}">{writers.mesh_xml(*SMALL)}</object>'
        loaded = load(model(objects(BIG) + other, item(1, 2)))
        assert volume(loaded) == pytest.approx(1000)
        assert codes(loaded) == [code]
        with pytest.raises(EmptyModel, match=kind):
            load(model(objects(BIG) + other, item(2)))

    def test_closed_surfaces_count_and_open_ones_are_left_out(self, load: Load) -> None:
        assert volume(load(model(objects(BIG, kind="surface"), item(1)))) == pytest.approx(1000)
        soup = BIG[0][BIG[1]].reshape(-1, 3), np.arange(36).reshape(-1, 3)  # closed once equal points are one
        assert volume(load(model(objects(soup, kind="surface"), item(1)))) == pytest.approx(1000)
        sheet = f'<object id="2" type="surface">{writers.mesh_xml(BIG[0], BIG[1][:11])}</object>'
        assert codes(load(model(objects(BIG) + sheet, item(1, 2)))) == ["open_surface_left_out"]
        with pytest.raises(EmptyModel, match="not closed"):
            load(model(objects(BIG) + sheet, item(2)))

    def test_an_unknown_type_is_refused(self, load: Load) -> None:
        with pytest.raises(CorruptModel, match="'foam'"):
            load(model(objects(BIG, kind="foam"), item(1)))


class TestPlaceholders:
    def test_slices_in_place_of_a_mesh_are_refused(self, load: Load) -> None:
        stack = (
            '<s:slicestack id="9" zbottom="0"><s:slice ztop="5"><s:vertices><s:vertex x="0" y="0"/></s:vertices>'
            '<s:polygon startv="0"><s:segment v2="0"/></s:polygon></s:slice></s:slicestack>'
        )
        solid = objects(BIG).replace("<object", '<object s:slicestackid="9"')
        loaded = load(model(stack + solid, item(1), f"{MM} {SLICE}"))
        assert volume(loaded) == pytest.approx(1000)
        assert codes(loaded) == ["slices_not_read"]
        for required in ("", ' requiredextensions="s"'):
            low = stack + solid.replace("<object", '<object s:meshresolution="lowres"')
            with pytest.raises(CorruptModel, match="slices"):
                load(model(low, item(1), f"{MM} {SLICE}{required}"))
        elsewhere = solid.replace("<object", '<object x:meshresolution="lowres"')
        assert volume(load(model(stack + elsewhere, item(1), f'{MM} {SLICE} xmlns:x="urn:x"'))) == pytest.approx(1000)

    def alternatives(self, resolution: str, *entries: tuple[int, str]) -> str:
        inner = "".join(f'<pa:alternative objectid="{n}" modelresolution="{r}" UUID="u"/>' for n, r in entries)
        return (
            objects(box(10), box(2), box(3))
            + f'<object id="4" pa:modelresolution="{resolution}"><pa:alternatives>{inner}</pa:alternatives>'
            f"{writers.mesh_xml(*box(1))}</object>"
        )

    @pytest.mark.parametrize("resolution", ["lowres", "obfuscated"])
    def test_the_first_full_alternative_counts(self, load: Load, resolution: str) -> None:
        found = self.alternatives(resolution, (1, "lowres"), (2, "fullres"), (3, "fullres"))
        assert volume(load(model(found, item(4), f"{MM} {PA}"))) == pytest.approx(8)
        with pytest.raises(CorruptModel, match=resolution):
            load(model(self.alternatives(resolution, (1, "lowres")), item(4), f"{MM} {PA}"))

    def test_an_alternative_that_cannot_be_read_is_noted(self, load: Load) -> None:
        found = self.alternatives("fullres", (2, "fullres")).replace("UUID", 'path="/3D/secret.model" UUID')
        package = model(found, item(4), f"{MM} {PA}", **{"3D__secret.model": b"%3McF\0\0\0"})
        assert volume(load(package)) == pytest.approx(1)
        assert codes(load(package)) == ["alternative_not_read"]
        package = model(
            found.replace('"fullres"><pa', '"lowres"><pa'), item(4), f"{MM} {PA}", **{"3D__secret.model": b"%3McF"}
        )
        with pytest.raises(CorruptModel, match="lowres"):
            load(package)

    def test_an_encrypted_part_is_refused(self, load: Load) -> None:
        with pytest.raises(CorruptModel, match="encrypted"):
            load(writers.package({MODEL: b"%3McF\x01\0\0\0"}))


class TestPackage:
    @pytest.mark.parametrize(
        ("stored", "target"),
        [("3D/my%20ring.model", "/3D/my%20ring.model"), ("3D/my ring.model", "/3D/my%20ring.model"),
         ("3D/my%20ring.model", "/3D/my ring.model"), ("3D/RING.model", "3d/ring.MODEL"),
         ("3D/Gro%C3%9Fe.model", "/3D/Gro\u00dfe.model"), ("3D/Gro\u00dfe.model", "/3D/Gro%c3%9fe.model"),
         ("3D/%61.model", "/3D/a.model"), ("3D/100%25.model", "/3D/100%25.model"), ("3D/a.model", "/3D/x/../a.model")],
    )  # fmt: skip
    def test_part_names_are_compared_by_the_rules_of_opc(self, load: Load, stored: str, target: str) -> None:
        rels = writers.RELS.replace("/3D/3dmodel.model", target)
        package = writers.package({"_rels/.rels": rels, stored: writers.model_xml(objects(BIG), item(1))})
        assert volume(load(package)) == pytest.approx(1000)
        assert codes(load(package)) == []

    @pytest.mark.parametrize(
        ("stored", "target"), [("3D/\u00e9.model", "/3D/\u00c9.model"), ("3D/a%2520b.model", "/3D/a%20b.model")]
    )
    def test_names_that_differ_are_not_found(self, load: Load, stored: str, target: str) -> None:
        rels = writers.RELS.replace("/3D/3dmodel.model", target)
        with pytest.raises(CorruptModel, match="does not exist"):
            load(writers.package({"_rels/.rels": rels, stored: "<x/>"}))

    @pytest.mark.parametrize(
        "names",
        [("3D/a%2fb.model",), ("3D/a%5Cb.model",), ("/3D/x.model",), ("3D/a b", "3D/a%20B"), ("3D/%2e%2e/%2e%2e/x",)],
    )
    def test_names_that_are_rejected(self, load: Load, names: tuple[str, ...]) -> None:
        with pytest.raises(CorruptModel, match=r"outside the package|two parts"):
            load(model(objects(BIG), item(1), **{name.replace("/", "__"): "x" for name in names}))

    def test_packaging_faults_are_noted(self, load: Load) -> None:
        types = writers.CONTENT_TYPES.replace("vnd.ms-package.3dmanufacturing-3dmodel+xml", "xml")
        loaded = load(model(objects(BIG), item(1), **{"[Content_Types].xml": types}))
        assert volume(loaded) == pytest.approx(1000)
        assert codes(loaded) == ["breaks_3mf"]

    def test_units_that_differ_are_refused(self, load: Load) -> None:
        child = writers.model_xml(objects(BIG), "", "")
        build = '<item p:path="/3D/a.model" objectid="1"/>'
        assert volume(load(model("", build, f"{MM} {P}", **{"3D__a.model": child}))) == pytest.approx(1000)
        with pytest.raises(CorruptModel, match="different units"):
            load(model("", build, f'unit="inch" {P}', **{"3D__a.model": child}))
