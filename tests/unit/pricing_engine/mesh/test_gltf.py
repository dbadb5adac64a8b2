"""GLB (``mesh/glb.py``): glTF 2.0 and its extensions are applied, rejected or noted by name."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import trimesh
from numpy.typing import ArrayLike

from pricing_engine.mesh.errors import CorruptModel, EmptyModel
from pricing_engine.mesh.glb import read_glb
from pricing_engine.mesh.raw_mesh import RawMesh
from tests.support import model_files as writers
from tests.support.meshes import signed_volume

V, F = writers.box((1.0, 2.0, 3.0))
HALF_TURN = [0.0, 0.0, 1.0, 0.0]  # about z


Properties = dict[str, Any]


def accessors_of(content: bytes) -> list[Properties]:
    """Return the accessors of a GLB."""
    length = struct.unpack_from("<I", content, 12)[0]
    accessors: list[Properties] = json.loads(content[20 : 20 + length])["accessors"]
    return accessors


def volume(mesh: RawMesh) -> float:
    return signed_volume(mesh.vertices, mesh.facets)


def codes(mesh: RawMesh) -> list[str]:
    return [note.code for note in mesh.notes]


def placed(
    node: Properties,
    more: Sequence[writers.GlbArray] = (),
    tree: Properties | None = None,
    primitive: Properties | None = None,
) -> RawMesh:
    arrays, base = writers.glb_mesh(V, F)
    meshes = [{"primitives": [{**base, **(primitive or {})}]}]
    return read_glb(writers.glb_scene([*arrays, *more], {"nodes": [node], "meshes": meshes, **(tree or {})}))


class TestSkins:
    """x' = sum of weight * joint * inverse bind, without the node's own transform."""

    def skin(self, weights: ArrayLike, joint_nodes: Sequence[Properties], joints: ArrayLike | None = None) -> RawMesh:
        names = np.zeros((8, 4)) if joints is None else joints
        return read_glb(writers.glb_skin(V, F, names, weights, joint_nodes))

    def test_one_joint_moves_all_vertices(self) -> None:
        mesh = self.skin(np.tile([1.0, 0, 0, 0], (8, 1)), [{"scale": [0.5, 0.5, 2], "translation": [1, 1, 1]}])
        assert np.array_equal(mesh.vertices, V * [0.5, 0.5, 2] + 1)
        assert volume(mesh) == pytest.approx(3)

    def test_weights_are_normalized(self) -> None:
        mesh = self.skin(np.tile([0.25, 0, 0, 0], (8, 1)), [{"scale": [0.5, 0.5, 0.5]}])
        assert np.array_equal(mesh.vertices, V / 2)

    def test_inverse_bind_matrices_and_parents_apply(self) -> None:
        inverse = np.eye(4)
        inverse[3, :3] = -10, 0, 0  # columns first: a translation
        nodes = [{"translation": [1, 0, 0], "children": [2]}, {"translation": [9, 0, 3]}]
        mesh = read_glb(
            writers.glb_skin(V, F, np.full((8, 4), 1), np.tile([1.0, 0, 0, 0], (8, 1)), nodes, [np.eye(4), inverse])
            .replace(b'"nodes": [0, 1, 2]', b'"nodes": [0, 1]   ')
        )  # fmt: skip
        assert np.array_equal(mesh.vertices, np.add(V, [0, 0, 3]))

    def test_blended_vertices_agree_with_a_naive_twin(self) -> None:
        random = np.random.default_rng(5)
        joints = random.integers(0, 4, (8, 4))
        weights = random.uniform(0.1, 1, (8, 4)).astype(np.float32)
        scales = random.uniform(0.5, 2, (4, 3))
        moves = random.uniform(-1, 1, (4, 3))
        nodes = [{"scale": s.tolist(), "translation": m.tolist()} for s, m in zip(scales, moves, strict=True)]
        mesh = self.skin(weights, nodes, joints=joints)
        for v in range(8):
            expected = sum(float(w) * (V[v] * scales[j] + moves[j]) for w, j in zip(weights[v], joints[v], strict=True))
            assert mesh.vertices[v] == pytest.approx(expected / weights[v].sum(dtype=float), rel=1e-12)

    def test_equal_influences_in_another_order_give_equal_vertices(self) -> None:
        """One vertex twice, as at a texture seam, with its joints in two orders, must weld."""
        random = np.random.default_rng(6)
        points = np.repeat(random.normal(size=(40, 3)), 2, axis=0)
        joints, weights = np.tile(np.arange(4), (80, 1)), np.repeat(random.uniform(0, 1, (40, 4)), 2, axis=0)
        order = np.argsort(random.random((80, 4)), axis=1)
        joints, weights = np.take_along_axis(joints, order, 1), np.take_along_axis(weights, order, 1)
        nodes = [{"scale": random.uniform(0.5, 2, 3).tolist()} for _ in range(4)]
        mesh = read_glb(writers.glb_skin(points, np.arange(78), joints, weights, nodes))
        assert np.array_equal(mesh.vertices[0::2], mesh.vertices[1::2])

    def test_mirroring_joint_turns_the_facets(self) -> None:
        mesh = self.skin(np.tile([1.0, 0, 0, 0], (8, 1)), [{"scale": [-1, 1, 1]}])
        assert volume(mesh) == pytest.approx(6)

    def test_quantized_weights_and_a_second_set_apply(self) -> None:
        arrays, primitive = writers.glb_mesh(V, F)
        arrays += [(np.tile(np.array([[0, 9, 9, 9]], "u1"), (8, 1)), "VEC4"),
                   (np.tile(np.array([[85, 0, 0, 0]], "u1"), (8, 1)), "VEC4", {"normalized": True}),
                   (np.tile(np.array([[1, 0, 0, 0]], "<u2"), (8, 1)), "VEC4"),
                   (np.tile(np.array([[43690, 0, 0, 0]], "<u2"), (8, 1)), "VEC4", {"normalized": True})]  # fmt: skip
        primitive["attributes"] |= {"JOINTS_0": 2, "WEIGHTS_0": 3, "JOINTS_1": 4, "WEIGHTS_1": 5}
        nodes = [{"mesh": 0, "skin": 0}, {}, {"translation": [3, 0, 0]}]
        tree = {"nodes": nodes, "skins": [{"joints": [1, 2]}], "meshes": [{"primitives": [primitive]}]}
        mesh = read_glb(writers.glb_scene(arrays, tree))
        assert mesh.vertices == pytest.approx(np.add(V, [2, 0, 0]))

    @pytest.mark.parametrize(("weights", "joints", "words"), [
        (np.zeros((8, 4)), None, "without a joint"), (np.full((8, 4), -1.0), None, "positive"),
        (np.full((8, 4), np.nan), None, "positive"), (np.ones((8, 4)), np.full((8, 4), 7), "beyond"),
        (np.ones((5, 4)), np.zeros((5, 4)), "as many")])  # fmt: skip
    def test_broken_skins_are_refused(self, weights: ArrayLike, joints: ArrayLike | None, words: str) -> None:
        with pytest.raises(CorruptModel, match=words):
            self.skin(weights, [{}], joints=joints)

    def test_skin_of_a_mesh_without_joints_is_refused(self) -> None:
        with pytest.raises(CorruptModel, match="skin"):
            placed({"mesh": 0, "skin": 0}, tree={"skins": [{"joints": [0]}]})

    def test_mesh_with_joints_and_no_skin_is_placed_by_its_node(self) -> None:
        content = writers.glb_skin(V, F, np.zeros((8, 4)), np.ones((8, 4)), [{"scale": [2, 2, 2]}])
        mesh = read_glb(content.replace(b'"skin": 0, ', b"           "))
        assert np.array_equal(mesh.vertices, np.add(V, [5, 6, 7]))


class TestMorphs:
    TARGETS = ({"POSITION": 2}, {"NORMAL": 2}, {"POSITION": 3})

    def morph(self, node: Properties, mesh: Properties) -> RawMesh:
        arrays, primitive = writers.glb_mesh(V, F)
        arrays += [(V.astype("<f4"), "VEC3"), (np.tile(np.array([[0, 0, 4]], "<f4"), (8, 1)), "VEC3")]
        primitive["targets"] = list(self.TARGETS)
        tree = {"nodes": [{"mesh": 0, **node}], "meshes": [{"primitives": [primitive], **mesh}]}
        return read_glb(writers.glb_scene(arrays, tree))

    def test_weights_of_the_mesh_apply(self) -> None:
        assert np.array_equal(self.morph({}, {"weights": [1, 1, 0.5]}).vertices, np.add(2 * V, [0, 0, 2]))

    def test_weights_of_the_node_override_those_of_the_mesh(self) -> None:
        assert np.array_equal(self.morph({"weights": [0.5, 0, 0]}, {"weights": [1, 1, 1]}).vertices, 1.5 * V)

    def test_no_weights_move_nothing(self) -> None:
        assert np.array_equal(self.morph({}, {}).vertices, V)

    def test_a_sparse_target_without_data_moves_its_vertices(self) -> None:
        arrays, primitive = writers.glb_mesh(V, F)
        arrays += [(np.array([7], "u1"), "SCALAR"), (np.array([[0, 0, 3]], "<f4"), "VEC3")]
        content = {"bufferView": 2, "componentType": 5121}
        primitive["targets"] = [{"POSITION": 4}]
        scene = {"nodes": [{"mesh": 0}], "meshes": [{"primitives": [primitive], "weights": [1]}]}
        dense = writers.glb_scene(arrays, scene)
        zeros = {"componentType": 5126, "count": 8, "type": "VEC3",
                 "sparse": {"count": 1, "indices": content, "values": {"bufferView": 3}}}  # fmt: skip
        mesh = read_glb(writers.glb_scene(arrays, {**scene, "accessors": [*accessors_of(dense), zeros]}))
        expected = V.copy()
        expected[7, 2] += 3
        assert np.array_equal(mesh.vertices, expected)

    def test_target_of_another_length_is_refused(self) -> None:
        with pytest.raises(CorruptModel, match="morph"):
            placed({"mesh": 0, "weights": [1]}, [(np.zeros((3, 3), "<f4"), "VEC3")],
                   primitive={"targets": [{"POSITION": 2}]})  # fmt: skip


class TestInstances:
    def instances(
        self, more: Sequence[writers.GlbArray], attributes: Properties, node: Properties | None = None
    ) -> RawMesh:
        extension = {"extensions": {"EXT_mesh_gpu_instancing": {"attributes": attributes}}}
        return placed({"mesh": 0, **extension, **(node or {})}, more)

    def test_instances_are_moved_rotated_and_scaled(self) -> None:
        more = [(np.array([[0, 0, 0], [10, 0, 0]], "<f4"), "VEC3"),
                (np.array([[0, 0, 0, 1], HALF_TURN], "<f4"), "VEC4"),
                (np.array([[1, 1, 1], [2, 1, 1]], "<f4"), "VEC3")]  # fmt: skip
        mesh = self.instances(more, {"TRANSLATION": 2, "ROTATION": 3, "SCALE": 4}, {"translation": [0, 0, 5]})
        assert volume(mesh) == pytest.approx(18)
        assert mesh.vertices[:8] == pytest.approx(np.add(V, [0, 0, 5]))
        assert mesh.vertices[8:] == pytest.approx(V * [-2, -1, 1] + [10, 0, 5])

    @pytest.mark.parametrize(("kind", "largest"), [("i1", 127), ("<i2", 32767)])
    def test_normalized_integers_rotate(self, kind: str, largest: int) -> None:
        half = round(largest * 0.70710678)
        more = [(np.array([[0, 0, half, half]], kind), "VEC4", {"normalized": True})]
        mesh = self.instances(more, {"ROTATION": 2})
        assert mesh.vertices == pytest.approx(V[:, [1, 0, 2]] * [-1, 1, 1])
        assert volume(mesh) == pytest.approx(6, rel=1e-12)

    def test_mirrored_copies_turn_their_facets(self) -> None:
        more = [(np.array([[1, 1, 1], [-1, 1, 1], [-1, -1, 1]], "<f4"), "VEC3")]
        for node, factor in (({}, 1), ({"scale": [1, 1, -2]}, 2)):
            assert volume(self.instances(more, {"SCALE": 2}, node)) == pytest.approx(18 * factor)

    def test_too_many_or_disagreeing_instances_are_refused(self) -> None:
        many = [(np.zeros((200_000, 3), "<f4"), "VEC3")]
        with pytest.raises(CorruptModel, match="repeats its parts"):
            self.instances(many, {"TRANSLATION": 2})
        two = [(np.zeros((2, 3), "<f4"), "VEC3"), (np.ones((3, 3), "<f4"), "VEC3")]
        with pytest.raises(CorruptModel, match="two counts"):
            self.instances(two, {"TRANSLATION": 2, "SCALE": 3})


class TestAccessors:
    def test_sparse_values_replace_data(self) -> None:
        arrays, primitive = writers.glb_mesh(V, F)
        arrays += [(np.array([1, 3], "<u2"), "SCALAR"), (np.array([V[1], V[3]], "<f4"), "VEC3")]
        spoiled = V.copy()
        spoiled[[1, 3]] = 99
        arrays[0] = (spoiled.astype("<f4"), "VEC3", {"sparse": {
            "count": 2, "indices": {"bufferView": 2, "componentType": 5123}, "values": {"bufferView": 3}}})  # fmt: skip
        mesh = read_glb(writers.glb_scene(arrays, {"nodes": [{"mesh": 0}], "meshes": [{"primitives": [primitive]}]}))
        assert np.array_equal(mesh.vertices, V)

    def test_sparse_beyond_the_end_is_refused(self) -> None:
        arrays, primitive = writers.glb_mesh(V, F)
        arrays += [(np.array([8], "<u2"), "SCALAR"), (np.zeros((1, 3), "<f4"), "VEC3")]
        arrays[0] = (*arrays[0], {"sparse": {"count": 1, "indices": {"bufferView": 2, "componentType": 5123},
                                             "values": {"bufferView": 3}}})  # fmt: skip
        with pytest.raises(CorruptModel, match="sparse"):
            read_glb(writers.glb_scene(arrays, {"nodes": [{"mesh": 0}], "meshes": [{"primitives": [primitive]}]}))

    def test_quantized_positions_are_read(self) -> None:
        arrays, primitive = writers.glb_mesh(V, F)
        arrays[0] = (np.round(V / 3 * 32767).astype("<i2"), "VEC3", {"normalized": True})
        tree = {"nodes": [{"mesh": 0, "scale": [3, 3, 3]}], "meshes": [{"primitives": [primitive]}]}
        tree |= {key: ["KHR_mesh_quantization"] for key in ("extensionsUsed", "extensionsRequired")}
        mesh = read_glb(writers.glb_scene(arrays, tree))
        assert volume(mesh) == pytest.approx(6, rel=1e-3)
        assert codes(mesh) == []

    def test_counts_beyond_the_file_are_refused(self) -> None:
        with pytest.raises(CorruptModel, match="count more"):
            placed({"mesh": 0}, primitive={"attributes": {"POSITION": 2}},
                   more=[(np.zeros((1, 3), "<f4"), "VEC3", {"count": 10**9})])  # fmt: skip

    def test_unused_vertices_are_not_repeated(self) -> None:
        mesh = placed({"mesh": 0}, [(np.vstack([V, np.ones((500, 3))]).astype("<f4"), "VEC3")],
                        primitive={"attributes": {"POSITION": 2}})  # fmt: skip
        assert np.array_equal(mesh.vertices, V)

    def test_a_description_padded_with_nuls_is_read(self) -> None:
        arrays, primitive = writers.glb_mesh(V, F)
        for name in ("", "x", "xx", "xxx"):
            tree = {"nodes": [{"mesh": 0, "name": name}], "meshes": [{"primitives": [primitive]}]}
            assert volume(read_glb(writers.glb_scene(arrays, tree, pad=b"\0"))) == pytest.approx(6)


class TestExtensions:
    @pytest.mark.parametrize(("name", "words"), [("KHR_draco_mesh_compression", "Draco"),
                             ("EXT_meshopt_compression", "meshopt"), ("KHR_meshopt_compression", "meshopt"),
                             ("ACME_tessellation", "ACME_tessellation")])  # fmt: skip
    def test_required_ones_are_refused_by_name(self, name: str, words: str) -> None:
        with pytest.raises(CorruptModel, match=words):
            placed({"mesh": 0}, tree={"extensionsRequired": ["KHR_materials_unlit", name], "extensionsUsed": [name]})

    def test_draco_without_plain_data_is_refused(self) -> None:
        draco = {"extensions": {"KHR_draco_mesh_compression": {"bufferView": 0, "attributes": {"POSITION": 0}}}}
        assert volume(placed({"mesh": 0}, primitive=draco)) == pytest.approx(6)
        arrays, primitive = writers.glb_mesh(V, F)
        tree = {"nodes": [{"mesh": 0}], "meshes": [{"primitives": [{**primitive, **draco}]}]}
        for bare in (0, 1):
            accessors = accessors_of(writers.glb_scene(arrays, tree))
            del accessors[bare]["bufferView"]
            with pytest.raises(CorruptModel, match="Draco"):
                read_glb(writers.glb_scene(arrays, {**tree, "accessors": accessors}))

    @pytest.mark.parametrize("name", ["EXT_meshopt_compression", "KHR_meshopt_compression"])
    def test_meshopt_without_plain_data_is_refused(self, name: str) -> None:
        arrays, primitive = writers.glb_mesh(V, F)
        view = {"buffer": 0, "byteLength": 96, "extensions": {name: {"buffer": 0}}}
        indices = {"buffer": 0, "byteOffset": 96, "byteLength": 72}
        tree = {"nodes": [{"mesh": 0}], "meshes": [{"primitives": [primitive]}], "bufferViews": [view, indices]}
        assert volume(read_glb(writers.glb_scene(arrays, tree))) == pytest.approx(6)
        fallback = {"byteLength": 96, "extensions": {name: {"fallback": True}}}
        tree |= {"bufferViews": [{**view, "buffer": 1}, indices], "buffers": [{"byteLength": 168}, fallback]}
        with pytest.raises(CorruptModel, match="meshopt"):
            read_glb(writers.glb_scene(arrays, tree))

    @pytest.mark.parametrize("where", ["listed", "node", "primitive"])
    def test_unknown_ones_are_reported(self, where: str) -> None:
        used: Properties = {"extensions": {"ACME_bend": {}}}
        mesh = placed({"mesh": 0, **(used if where == "node" else {})},
                        tree={"extensionsUsed": ["ACME_bend"]} if where == "listed" else {},
                        primitive=used if where == "primitive" else {})  # fmt: skip
        assert codes(mesh) == ["unknown_extension"]
        assert "ACME_bend" in mesh.notes[0].message

    def test_those_without_a_shape_are_not_reported(self) -> None:
        names = ["KHR_materials_clearcoat", "ADOBE_materials_thin_transparency", "KHR_texture_transform",
                 "KHR_xmp_json_ld", "KHR_lights_punctual", "EXT_mesh_manifold", "KHR_animation_pointer"]  # fmt: skip
        assert codes(placed({"mesh": 0}, tree={"extensionsUsed": names})) == []

    def test_hidden_nodes_and_their_children_are_left_out(self) -> None:
        hide = {"extensions": {"KHR_node_visibility": {"visible": False}}}
        show = {"extensions": {"KHR_node_visibility": {"visible": True}}}
        nodes = [{"children": [1, 2]}, {"mesh": 0, **show}, {**hide, "children": [3]}, {"mesh": 0, **show}]
        mesh = placed({}, tree={"nodes": nodes})
        assert volume(mesh) == pytest.approx(6)
        assert codes(mesh) == ["hidden_nodes"]
        with pytest.raises(EmptyModel, match="hidden"):
            placed({"mesh": 0, **hide})

    def test_lower_levels_of_detail_are_left_out(self) -> None:
        level = {"mesh": 0, "extensions": {"MSFT_lod": {"ids": [1]}}}
        linked = placed({}, tree={"nodes": [level, {"mesh": 0}]})
        assert volume(linked) == pytest.approx(6)
        assert codes(linked) == []
        beside = placed({}, tree={"nodes": [level, {"mesh": 0}], "scenes": [{"nodes": [0, 1]}]})
        assert volume(beside) == pytest.approx(6)
        assert codes(beside) == ["lower_detail_left_out"]


class TestScenes:
    def test_animation_is_reported(self) -> None:
        assert codes(placed({"mesh": 0}, tree={"animations": [{"channels": [], "samplers": []}]})) == [
            "animation_left_out"
        ]

    def test_parts_outside_the_scene_are_reported(self) -> None:
        nodes = [{"mesh": 0}, {"mesh": 0}]
        assert codes(placed({}, tree={"nodes": nodes})) == ["nodes_outside_the_scene"]
        two = [{"nodes": [0]}, {"nodes": [1]}]
        arrays, primitive = writers.glb_mesh(V, F)
        tree = {"nodes": nodes, "meshes": [{"primitives": [primitive]}], "scenes": two}
        content = writers.glb_scene(arrays, tree)
        assert codes(read_glb(content)) == ["nodes_outside_the_scene"]
        assert codes(read_glb(content.replace(b'"scene": 0', b'"scena": 0'))) == ["other_scenes"]

    def test_mirrored_nodes_stay_solid(self) -> None:
        for scale in ([-1, 1, 1], [-1, -1, 1], [-1, -1, -1]):
            assert volume(placed({"mesh": 0, "scale": scale})) == pytest.approx(6)

    def test_rotations_are_normalized(self) -> None:
        assert volume(placed({"mesh": 0, "rotation": [0, 0, 2, 2]})) == pytest.approx(6)


def test_trimesh_agrees_about_a_tree_of_nodes() -> None:
    """A second reader: nodes within nodes give the same surface."""
    random = np.random.default_rng(8)
    nodes: list[Properties] = [{"scale": [1, 2, 1]}]
    for _ in range(8):
        quaternion = random.normal(size=4)
        nodes.append({"translation": random.normal(size=3).tolist(), "mesh": 0,
                      "rotation": (quaternion / np.linalg.norm(quaternion)).tolist(),
                      "scale": random.uniform(0.5, 2, 3).tolist()})  # fmt: skip
    for index in range(4):
        nodes[index]["children"] = [2 * index + 1, 2 * index + 2]
    arrays, primitive = writers.glb_mesh(V, F)
    content = writers.glb_scene(arrays, {"nodes": nodes, "meshes": [{"primitives": [primitive]}]})
    mesh = read_glb(content)
    other = trimesh.load_scene(io.BytesIO(content), file_type="glb").to_mesh()
    assert volume(mesh) == pytest.approx(other.volume, rel=1e-6)
    assert mesh.vertices.min(axis=0) == pytest.approx(other.bounds[0], rel=1e-5)
    assert mesh.vertices.max(axis=0) == pytest.approx(other.bounds[1], rel=1e-5)
