"""3MF by its specifications and as slicers mean it: namespaces, types, placeholders, part names, roles of parts."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

import manifold3d
import numpy as np
import pytest

from pricing_engine.analysis.measure import Settings, measure
from pricing_engine.mesh.errors import CorruptModel, EmptyModel, ModelError
from pricing_engine.mesh.load import LoadedModel, load_model
from pricing_engine.mesh.parsed import READER_NOTES
from pricing_engine.processes.rates import Limits
from pricing_engine.processes.verdict import model_reasons
from tests.badinput import writers

MODEL = "3D/3dmodel.model"
PRUSA, BAMBU = "Metadata/Slic3r_PE_model.config", "Metadata/model_settings.config"
P = 'xmlns:p="http://schemas.microsoft.com/3dmanufacturing/production/2015/06"'
SLICE = 'xmlns:s="http://schemas.microsoft.com/3dmanufacturing/slice/2015/07"'
PA = 'xmlns:pa="http://schemas.microsoft.com/3dmanufacturing/production/alternatives/2021/04"'
CURA = 'xmlns:cura="http://software.ultimaker.com/xml/cura/3mf/2015/10"'
BEAMS = 'xmlns:b="http://schemas.microsoft.com/3dmanufacturing/beamlattice/2017/02"'
MM = 'unit="millimeter"'


def box(size, at=(0, 0, 0)):
    """A box with its least corner ``at``."""
    vertices, facets = writers.box(np.broadcast_to(np.array(size, float), 3))
    return vertices + np.array(at, float), facets


def joined(*solids):
    """Several meshes as one, vertices kept apart."""
    starts = np.cumsum([0, *(len(v) for v, _ in solids)])
    return np.concatenate([v for v, _ in solids]), np.concatenate(
        [f + s for (_, f), s in zip(solids, starts, strict=False)]
    )


def turned(solid):
    """Inside out."""
    return solid[0], solid[1][:, ::-1]


def objects(*solids, kind="model"):
    return "".join(
        f'<object id="{i}" type="{kind}">{writers.mesh_xml(*s)}</object>' for i, s in enumerate(solids, start=1)
    )


def item(*numbers, more=""):
    return "".join(f'<item objectid="{n}"{more}/>' for n in numbers)


def model(resources, build, attributes=MM, **parts):
    named = {name.replace("__", "/"): content for name, content in parts.items()}
    return writers.package({MODEL: writers.model_xml(resources, build, attributes), **named})


def prusa(solids, roles, key="volume_type", copies=""):
    """One object whose volumes are ``solids``, with PrusaSlicer's settings."""
    volumes, first = "", 0
    for (_, facets), role in zip(solids, roles, strict=True):
        last = first + len(facets) - 1
        volumes += (
            f'<volume firstid="{first}" lastid="{last}"><metadata type="volume" key="{key}" value="{role}"/></volume>'
        )
        first = last + 1
    config = f'<?xml version="1.0"?><config><object id="1" instances_count="1">{volumes}</object></config>'
    resources = objects(joined(*solids)) + copies
    xml = writers.model_xml(resources, item(*((1, 2) if copies else (1,))))
    return writers.package({MODEL: xml, PRUSA: config})


def bambu(solids, subtypes, transform="", plates=""):
    """One object of components in a part of their own, with Bambu's settings."""
    child = writers.model_xml(
        "".join(
            f'<object id="{i}" type="{"model" if s == "normal_part" else "other"}">{writers.mesh_xml(*solid)}</object>'
            for i, (solid, s) in enumerate(zip(solids, subtypes, strict=True), start=1)
        ),
        "",
    )
    components = "".join(f'<component p:path="/3D/Objects/a.model" objectid="{i}"/>' for i in range(1, len(solids) + 1))
    root = writers.model_xml(
        f'<object id="9"><components>{components}</components></object>',
        f'<item objectid="9"{transform}/>',
        f'{MM} {P} requiredextensions="p"',
    )
    parts = "".join(f'<part id="{i}" subtype="{s}"/>' for i, s in enumerate(subtypes, start=1))
    config = f'<?xml version="1.0"?><config><object id="9">{parts}</object>{plates}</config>'
    return writers.package({MODEL: root, "3D/Objects/a.model": child, BAMBU: config})


def volume(loaded):
    a, b, c = (loaded.mesh.vertices[loaded.mesh.facets[:, i]] for i in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


def codes(loaded):
    return [note.code for note in loaded.notes]


@pytest.fixture
def load(tmp_path) -> Callable[[bytes], LoadedModel]:
    def load_bytes(content: bytes) -> LoadedModel:
        path = tmp_path / "a.3mf"
        path.write_bytes(content)
        loaded = load_model(path, None, 2)
        assert set(codes(loaded)) <= READER_NOTES
        return loaded

    return load_bytes


BIG, SMALL = box(10), box(4, (3, 3, 3))


class TestNamespaces:
    def test_core_may_have_a_prefix(self, load):
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

    def test_the_namespace_before_version_1(self, load):
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
    def test_foreign_elements_are_not_cores(self, load, place, foreign):
        xml = writers.model_xml(objects(BIG), item(1), MM + ' xmlns:x="http://example.org/x"')
        loaded = load(writers.package({MODEL: xml.replace(place, foreign + place, 1)}))
        assert (volume(loaded), loaded.mesh.facet_count) == (pytest.approx(1000), 12)
        assert codes(loaded) == ["extension_not_read"]
        assert "example.org/x" in loaded.notes[0].message

    def test_a_foreign_attribute_is_told_and_slicers_own_are_not(self, load):
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
    def test_required_extensions_are_those_that_prefixes_name(self, load, attributes):
        with pytest.raises(CorruptModel, match="needs the extension"):
            load(model(objects(BIG), item(1), f"{MM} {attributes}"))

    def test_a_beam_lattice_that_is_not_required_is_told(self, load):
        lattice = '<b:beamlattice radius="2" minlength="0.1"><b:beams><b:beam v1="0" v2="7"/></b:beams></b:beamlattice>'
        xml = writers.model_xml(objects(BIG), item(1), f"{MM} {BEAMS}").replace("</mesh>", lattice + "</mesh>")
        loaded = load(writers.package({MODEL: xml}))
        assert volume(loaded) == pytest.approx(1000)
        assert "beam" in loaded.notes[0].message

    def test_no_model_at_the_root(self, load):
        for xml in ("<model/>", '<model xmlns="http://example.org"/>', f'<object xmlns="{writers.CORE}"/>'):
            with pytest.raises(CorruptModel, match="no 3MF model"):
                load(writers.package({MODEL: xml}))


class TestTypes:
    @pytest.mark.parametrize("kind", ["model", "support", "solidsupport", "surface", "other"])
    def test_components_count_whatever_the_type_of_their_object(self, load, kind):
        tree = f'<object id="2" type="{kind}"><components><component objectid="1"/></components></object>'
        loaded = load(model(objects(BIG) + tree, item(2)))
        assert (volume(loaded), codes(loaded)) == (pytest.approx(1000), [])

    @pytest.mark.parametrize(("kind", "code"), [("support", "not_model_objects"), ("solidsupport", "not_model_objects"),
                                                ("other", "other_objects_left_out")])  # fmt: skip
    def test_leaves_that_are_no_material(self, load, kind, code):
        other = f'<object id="2" type="{kind}">{writers.mesh_xml(*SMALL)}</object>'
        loaded = load(model(objects(BIG) + other, item(1, 2)))
        assert (volume(loaded), codes(loaded)) == (pytest.approx(1000), [code])
        with pytest.raises(EmptyModel, match=kind):
            load(model(objects(BIG) + other, item(2)))

    def test_surfaces(self, load):
        assert volume(load(model(objects(BIG, kind="surface"), item(1)))) == pytest.approx(1000)
        soup = BIG[0][BIG[1]].reshape(-1, 3), np.arange(36).reshape(-1, 3)  # closed once equal points are one
        assert volume(load(model(objects(soup, kind="surface"), item(1)))) == pytest.approx(1000)
        sheet = f'<object id="2" type="surface">{writers.mesh_xml(BIG[0], BIG[1][:11])}</object>'
        assert codes(load(model(objects(BIG) + sheet, item(1, 2)))) == ["open_surface_left_out"]
        with pytest.raises(EmptyModel, match="not closed"):
            load(model(objects(BIG) + sheet, item(2)))

    def test_an_unknown_type(self, load):
        with pytest.raises(CorruptModel, match="'foam'"):
            load(model(objects(BIG, kind="foam"), item(1)))


class TestPlaceholders:
    def test_slices_in_place(self, load):
        stack = (
            '<s:slicestack id="9" zbottom="0"><s:slice ztop="5"><s:vertices><s:vertex x="0" y="0"/></s:vertices>'
            '<s:polygon startv="0"><s:segment v2="0"/></s:polygon></s:slice></s:slicestack>'
        )
        solid = objects(BIG).replace("<object", '<object s:slicestackid="9"')
        loaded = load(model(stack + solid, item(1), f"{MM} {SLICE}"))
        assert (volume(loaded), codes(loaded)) == (pytest.approx(1000), ["slices_not_read"])
        for required in ("", ' requiredextensions="s"'):
            low = stack + solid.replace("<object", '<object s:meshresolution="lowres"')
            with pytest.raises(CorruptModel, match="slices"):
                load(model(low, item(1), f"{MM} {SLICE}{required}"))
        elsewhere = solid.replace("<object", '<object x:meshresolution="lowres"')
        assert volume(load(model(stack + elsewhere, item(1), f'{MM} {SLICE} xmlns:x="urn:x"'))) == pytest.approx(1000)

    def alternatives(self, resolution, *entries):
        inner = "".join(f'<pa:alternative objectid="{n}" modelresolution="{r}" UUID="u"/>' for n, r in entries)
        return (
            objects(box(10), box(2), box(3))
            + f'<object id="4" pa:modelresolution="{resolution}"><pa:alternatives>{inner}</pa:alternatives>'
            f"{writers.mesh_xml(*box(1))}</object>"
        )

    @pytest.mark.parametrize("resolution", ["lowres", "obfuscated"])
    def test_the_first_full_alternative_counts(self, load, resolution):
        found = self.alternatives(resolution, (1, "lowres"), (2, "fullres"), (3, "fullres"))
        assert volume(load(model(found, item(4), f"{MM} {PA}"))) == pytest.approx(8)
        with pytest.raises(CorruptModel, match=resolution):
            load(model(self.alternatives(resolution, (1, "lowres")), item(4), f"{MM} {PA}"))

    def test_an_alternative_that_cannot_be_read(self, load):
        found = self.alternatives("fullres", (2, "fullres")).replace("UUID", 'path="/3D/secret.model" UUID')
        package = model(found, item(4), f"{MM} {PA}", **{"3D__secret.model": b"%3McF\0\0\0"})
        assert (volume(load(package)), codes(load(package))) == (pytest.approx(1), ["alternative_not_read"])
        package = model(
            found.replace('"fullres"><pa', '"lowres"><pa'), item(4), f"{MM} {PA}", **{"3D__secret.model": b"%3McF"}
        )
        with pytest.raises(CorruptModel, match="lowres"):
            load(package)

    def test_an_encrypted_part(self, load):
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
    def test_part_names_are_compared_as_opc_says(self, load, stored, target):
        rels = writers.RELS.replace("/3D/3dmodel.model", target)
        package = writers.package({"_rels/.rels": rels, stored: writers.model_xml(objects(BIG), item(1))})
        assert (volume(load(package)), codes(load(package))) == (pytest.approx(1000), [])

    @pytest.mark.parametrize(
        ("stored", "target"), [("3D/\u00e9.model", "/3D/\u00c9.model"), ("3D/a%2520b.model", "/3D/a%20b.model")]
    )
    def test_names_that_differ(self, load, stored, target):
        rels = writers.RELS.replace("/3D/3dmodel.model", target)
        with pytest.raises(CorruptModel, match="not in it"):
            load(writers.package({"_rels/.rels": rels, stored: "<x/>"}))

    @pytest.mark.parametrize(
        "names",
        [("3D/a%2fb.model",), ("3D/a%5Cb.model",), ("/3D/x.model",), ("3D/a b", "3D/a%20B"), ("3D/%2e%2e/%2e%2e/x",)],
    )
    def test_names_that_are_refused(self, load, names):
        with pytest.raises(CorruptModel, match=r"outside the package|two parts"):
            load(model(objects(BIG), item(1), **{name.replace("/", "__"): "x" for name in names}))

    def test_faults_of_the_packaging_are_told(self, load):
        types = writers.CONTENT_TYPES.replace("vnd.ms-package.3dmanufacturing-3dmodel+xml", "xml")
        loaded = load(model(objects(BIG), item(1), **{"[Content_Types].xml": types}))
        assert (volume(loaded), codes(loaded)) == (pytest.approx(1000), ["breaks_3mf"])

    def test_units_that_differ(self, load):
        child = writers.model_xml(objects(BIG), "", "")
        build = '<item p:path="/3D/a.model" objectid="1"/>'
        assert volume(load(model("", build, f"{MM} {P}", **{"3D__a.model": child}))) == pytest.approx(1000)
        with pytest.raises(CorruptModel, match="different units"):
            load(model("", build, f'unit="inch" {P}', **{"3D__a.model": child}))


NO_MATERIAL = ["ParameterModifier", "SupportBlocker", "SupportEnforcer"]


class TestSlicerProjects:
    @pytest.mark.parametrize("role", NO_MATERIAL)
    def test_prusa_slicer(self, load, role):
        loaded = load(prusa([BIG, box(30, (20, 0, 0))], ["ModelPart", role]))
        assert (volume(loaded), codes(loaded)) == (pytest.approx(1000), ["slicer_parts_left_out"])

    def test_model_parts_and_the_key_of_old_files(self, load):
        assert volume(load(prusa([BIG, box(2, (20, 0, 0))], ["ModelPart", "ModelPart"]))) == pytest.approx(1008)
        assert volume(load(prusa([BIG, box(2, (20, 0, 0))], ["0", "1"], key="modifier"))) == pytest.approx(1000)

    @pytest.mark.parametrize("role", ["modifier_part", "support_blocker", "support_enforcer"])
    def test_bambu_studio(self, load, role):
        loaded = load(bambu([BIG, box(30, (20, 0, 0))], ["normal_part", role]))
        assert (volume(loaded), codes(loaded)) == (pytest.approx(1000), ["slicer_parts_left_out"])

    @pytest.mark.parametrize("key", ["support_mesh", "anti_overhang_mesh", "cutting_mesh", "infill_mesh"])
    @pytest.mark.parametrize("form", [
        '<metadatagroup><metadata name="cura:{}">{}</metadata></metadatagroup>',
        '<cura:settings><cura:setting key="{}">{}</cura:setting></cura:settings>'])  # fmt: skip
    def test_cura(self, load, key, form):
        def content(value):
            second = f'<object id="2">{form.format(key, value)}{writers.mesh_xml(*box(30, (20, 0, 0)))}</object>'
            return model(objects(BIG) + second, item(1, 2), f"{MM} {CURA}")

        assert (volume(load(content("True"))), codes(load(content("True")))) == (
            pytest.approx(1000),
            ["slicer_parts_left_out"],
        )
        assert (volume(load(content("False"))), codes(load(content("False")))) == (pytest.approx(28000), [])

    @pytest.mark.parametrize("value", ["0", "false"])
    def test_items_that_are_not_printable(self, load, value):
        hidden = item(2, more=f' printable="{value}"')
        loaded = load(model(objects(BIG, SMALL), item(1, more=' printable="1"') + hidden))
        assert (volume(loaded), codes(loaded)) == (pytest.approx(1000), ["not_printable"])
        with pytest.raises(EmptyModel, match="not printable"):
            load(model(objects(BIG, SMALL), hidden))

    def test_plates(self, load):
        plates = "".join(
            f'<plate><metadata key="plater_id" value="{n}"/><metadata key="plater_name" value="{name}"/>'
            '<model_instance><metadata key="object_id" value="9"/></model_instance></plate>'
            for n, name in ((1, "left"), (2, ""))
        )
        loaded = load(bambu([BIG], ["normal_part"], plates=plates))
        assert codes(loaded) == ["plates"]
        assert "'left': object 9; '2': object 9" in loaded.notes[0].message

    def test_what_is_not_known_leads_to_review(self, tmp_path, load):
        unknown = prusa([BIG, box(2, (20, 0, 0))], ["ModelPart", "Mystery"])
        assert (volume(load(unknown)), codes(load(unknown))) == (pytest.approx(1008), ["unknown_slicer_parts"])
        (tmp_path / "u.3mf").write_bytes(unknown)
        check = next(c for c in measure(tmp_path / "u.3mf", None, Settings(), 1).analysis.checks if "unknown" in c.code)
        assert (check.severity, "Mystery" in check.message) == ("warning", True)
        limits = Limits(Fraction(1), Decimal(0))
        reasons = model_reasons(measure(tmp_path / "u.3mf", None, Settings(), 1).analysis, None, limits)
        assert next(reason for reason in reasons if reason.code == check.code).severity == "warning"
        config = '<config><object id="1"><volume firstid="0" lastid="3"/></object></config>'
        short = writers.package({MODEL: writers.model_xml(objects(BIG), item(1)), PRUSA: config})
        assert (volume(load(short)), codes(load(short))) == (pytest.approx(1000), ["unknown_slicer_parts"])
        stale = bambu([BIG], ["normal_part"], plates='<object id="9"><part id="77" subtype="negative_part"/></object>')
        assert codes(load(stale)) == ["unknown_slicer_parts"]

    def test_settings_that_change_the_shape(self, load):
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
         (BIG, turned(SMALL), 1000 - 64),
         (BIG, joined(box(8, (1, 1, 1)), turned(box(4, (3, 3, 3)))), 1000 - 512 + 64),
         (joined(BIG, turned(box(8, (1, 1, 1)))), box((4, 4, 20), (3, 3, -5)), 488 - 32),
         (joined(BIG, box(2, (30, 0, 0))), SMALL, 1008 - 64),
         (BIG, joined(box(2, (1, 1, 1)), box(2, (3, 1, 1)), box(2, (3, 3, 1))), 1000 - 24)],
    )  # fmt: skip
    def test_are_taken_away(self, load, solid, negative, expected):
        loaded = load(prusa([solid, negative], ["ModelPart", "NegativeVolume"]))
        assert volume(loaded) == pytest.approx(expected, rel=1e-9)
        assert codes(loaded) == ["negative_parts_subtracted"]

    def test_belong_to_their_object_and_move_with_it(self, load):
        turn = ' transform="0 1 0 -1 0 0 0 0 1 100 50 0"'
        assert volume(load(bambu([BIG, SMALL], ["normal_part", "negative_part"], turn))) == pytest.approx(936)
        component = '<component objectid="1" transform="1 0 0 0 1 0 0 0 1 50 0 0"/>'
        copy = f'<object id="2"><components>{component}</components></object>'
        copies = prusa([BIG, SMALL], ["ModelPart", "NegativeVolume"], copies=copy)
        assert volume(load(copies)) == pytest.approx(2 * 936)
        both = load(bambu([BIG, SMALL, box(10, (20, 0, 0)), box(10, (25, 0, 0))],
                          ["normal_part", "negative_part", "normal_part", "negative_part"]))  # fmt: skip
        assert volume(both) == pytest.approx(936 + 500)

    def test_random_boxes_agree_with_manifold(self, tmp_path):
        """Parts that overlap each other too, so it is the measured volume that counts, and not the signed one."""
        random, union = np.random.default_rng(5), manifold3d.Manifold.batch_boolean
        for _ in range(3):
            solids = [box(random.uniform(1, 8, 3), random.uniform(0, 5, 3)) for _ in range(6)]
            bodies = [manifold3d.Manifold(manifold3d.Mesh64(v, f.astype(np.uint64))) for v, f in solids]
            expected = union(bodies[:3], manifold3d.OpType.Add) - union(bodies[3:], manifold3d.OpType.Add)
            content = prusa([*solids[:3], joined(*solids[3:])], ["ModelPart"] * 3 + ["NegativeVolume"])
            (tmp_path / "r.3mf").write_bytes(content)
            measured = measure(tmp_path / "r.3mf", None, Settings(), 1).analysis.geometry.volume_mm3
            assert measured == pytest.approx(expected.volume(), rel=1e-7)

    def test_what_is_not_closed_is_refused_by_name(self, load):
        holed = SMALL[0], SMALL[1][:11]
        pulled = SMALL[0].copy()
        pulled[7] = (-20.0, 4.0, 4.0)  # one corner drawn out through the opposite face
        for parts in ([BIG, holed], [BIG, (pulled, SMALL[1])], [holed, box(2, (4, 4, 4))]):
            with pytest.raises(CorruptModel, match="negative volume"):
                load(prusa(parts, ["ModelPart", "NegativeVolume"]))

    def test_nothing_left(self, load):
        with pytest.raises(EmptyModel, match="taken away"):
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
    def test_are_refused(self, load, name, config):
        with pytest.raises(CorruptModel):
            load(writers.package({MODEL: writers.model_xml(objects(BIG), item(1)), name: config}))

    def test_bombs(self, load):
        blank = "<config>" + " " * (70 << 20) + "</config>"
        with pytest.raises(ModelError, match=r"larger|bomb"):
            load(writers.package({MODEL: writers.model_xml(objects(BIG), item(1)), BAMBU: blank}))
        many = joined(*(box(0.5, (x, y, 0)) for x in range(40) for y in range(30)))
        with pytest.raises(CorruptModel, match="1200 shells"):
            load(prusa([box(50), many], ["ModelPart", "NegativeVolume"]))
