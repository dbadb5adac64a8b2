"""Stream a 3MF model part through expat: which elements count, and the numbers of vertices and triangles.

An element counts where its name, namespace included, and its parent are as in the core specification (chapter 3 and 4);
content of a foreign element is foreign too. O(bytes) time, memory for the arrays alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterator
from operator import itemgetter

from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.raw_mesh import MAX_FACETS
from pricing_engine.mesh.threemf_names import (
    ALTERNATIVES,
    CORE,
    CURA,
    LEGACY_CORE,
    MATERIAL,
)
from pricing_engine.mesh.threemf_package import Package, feed, safe_parser

MODEL, RESOURCES, BUILD, OBJECT, MESH, VERTICES, VERTEX, TRIANGLES, TRIANGLE = (
    f"{CORE} {name}"
    for name in ("model", "resources", "build", "object", "mesh", "vertices", "vertex", "triangles", "triangle")
)
COMPONENTS, COMPONENT, ITEM, METADATA, METADATA_GROUP, BASE_MATERIALS, BASE = (
    f"{CORE} {name}"
    for name in ("components", "component", "item", "metadata", "metadatagroup", "basematerials", "base")
)
ALTERNATIVE_LIST, ALTERNATIVE = f"{ALTERNATIVES} alternatives", f"{ALTERNATIVES} alternative"
CURA_SETTINGS, CURA_SETTING = f"{CURA} settings", f"{CURA} setting"
COLOR = f"{MATERIAL} color"
_PARENTS: dict[str, tuple[str | None, ...]] = {
    MODEL: (None,),
    RESOURCES: (MODEL,),
    BUILD: (MODEL,),
    OBJECT: (RESOURCES,),
    MESH: (OBJECT,),
    VERTICES: (MESH,),
    VERTEX: (VERTICES,),
    TRIANGLES: (MESH,),
    TRIANGLE: (TRIANGLES,),
    COMPONENTS: (OBJECT,),
    COMPONENT: (COMPONENTS,),
    ITEM: (BUILD,),
    METADATA_GROUP: (OBJECT, ITEM),
    METADATA: (MODEL, METADATA_GROUP),
    BASE_MATERIALS: (RESOURCES,),
    BASE: (BASE_MATERIALS,),
    ALTERNATIVE_LIST: (OBJECT,),
    ALTERNATIVE: (ALTERNATIVE_LIST,),
    CURA_SETTINGS: (OBJECT,),
    CURA_SETTING: (CURA_SETTINGS,),
}
_VERTEX_VALUES, _TRIANGLE_VALUES = itemgetter("x", "y", "z"), itemgetter("v1", "v2", "v3")


class ModelXml(ABC):
    """Expat handlers for one model part; a subclass interprets the elements.

    ``path`` has the open elements, None for those that do not count. ``vertex_numbers`` and ``triangle_corners``
    receive the rows of the current mesh, the subclass sets them. ``facet_count`` starts with the facets of other parts.
    """

    def __init__(self, package: Package, name: str, facet_count: int) -> None:
        self._package, self._name, self._facet_count = package, name, facet_count
        self._path: list[str | None] = []
        self._prefixes: dict[str, str] = {}
        self._known_attributes: set[str] = set()
        self._vertex_numbers: array[float] | None = None
        self._triangle_corners: array[int] | None = None
        self._texts: list[str] = []
        self._core, self._row_tag, self._row_values, self._rows_tag = CORE, "", _VERTEX_VALUES, ""
        self._parser = parser = safe_parser()
        parser.StartNamespaceDeclHandler = lambda prefix, uri: self._prefixes.setdefault(prefix or "", uri or "")
        parser.CharacterDataHandler = self.on_text
        self._handle_elements()

    @abstractmethod
    def on_element(self, tag: str, attributes: dict[str, str]) -> None:
        """Handle an element that counts; KeyError, ValueError and OverflowError mean that it is broken."""

    @abstractmethod
    def on_other_element(self, tag: str, parent: str | None) -> None:
        """Handle an element that does not count."""

    @abstractmethod
    def on_any_element(self, tag: str, parent: str | None, attributes: dict[str, str]) -> None:
        """Handle every element but well-formed rows, before the two above."""

    @abstractmethod
    def on_attributes(self, attributes: dict[str, str]) -> None:
        """Handle attributes of which some are new, or a row with more attributes than its numbers."""

    @abstractmethod
    def on_text(self, text: str) -> None:
        """Handle character data."""

    @abstractmethod
    def on_end(self, tag: str) -> None:
        """Handle the end of every element but rows."""

    def parse(self) -> None:
        """Parse the complete part."""
        feed(self._parser, self._flush_after(self._package.blocks(self._name)), self._name)

    def _flush_after(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        for block in blocks:
            yield block
            self._flush()

    def _handle_elements(self) -> None:
        self._parser.StartElementHandler, self._parser.EndElementHandler = self._start, self._end

    def _handle_rows(self) -> None:
        """Install handlers for vertices and triangles, which are by far the most elements."""
        is_vertices = self._path[-1] == VERTICES
        row, self._row_values = ("vertex", _VERTEX_VALUES) if is_vertices else ("triangle", _TRIANGLE_VALUES)
        self._row_tag = f"{self._core} {row}"
        self._rows_tag = f"{self._core} {'vertices' if is_vertices else 'triangles'}"
        self._parser.StartElementHandler, self._parser.EndElementHandler = self._start_row, self._end_row

    def _start_row(self, tag: str, attributes: dict[str, str]) -> None:
        if tag != self._row_tag:
            self._handle_elements()
            self._start(tag, attributes)
            return
        try:
            self._texts += self._row_values(attributes)
        except KeyError as error:
            raise self._broken(tag) from error
        if len(attributes) > 3:
            self.on_attributes(attributes)

    def _end_row(self, tag: str) -> None:
        if tag == self._rows_tag:
            self._flush()
            self._path.pop()
            self._handle_elements()

    def _flush(self) -> None:
        """Convert the texts of rows to numbers, a block of XML at a time."""
        if not self._texts or self._vertex_numbers is None or self._triangle_corners is None:
            return
        joined = "".join(self._texts)
        try:
            if "_" in joined or not joined.isascii():
                raise ValueError
            if self._row_values is _VERTEX_VALUES:
                self._vertex_numbers.extend(map(float, self._texts))
            else:
                self._facet_count += len(self._texts) // 3
                if self._facet_count > MAX_FACETS:
                    raise CorruptModel(f"the 3MF has more than {MAX_FACETS} facets; decimate it")
                self._triangle_corners.extend(map(int, self._texts))
        except (ValueError, OverflowError) as error:
            raise self._broken(self._row_tag) from error
        self._texts.clear()

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if not self._path and tag == f"{LEGACY_CORE} model":
            self._core = LEGACY_CORE
        tag = self._canonical(tag)
        parent = self._path[-1] if self._path else None
        counts = (not self._path or parent is not None) and parent in _PARENTS.get(tag, ())
        self._path.append(tag if counts else None)
        if attributes and not self._known_attributes.issuperset(attributes):
            self.on_attributes(attributes)
        self.on_any_element(tag, parent, attributes)
        if not counts:
            self.on_other_element(tag, parent)
            return
        try:
            self.on_element(tag, attributes)
        except (KeyError, ValueError, OverflowError) as error:
            raise self._broken(tag) from error

    def _end(self, tag: str) -> None:
        self._path.pop()
        if self._path and self._path[-1] in (VERTICES, TRIANGLES):
            self._handle_rows()
        else:
            self.on_end(self._canonical(tag))

    def _canonical(self, tag: str) -> str:
        return tag if self._core == CORE else tag.replace(f"{self._core} ", f"{CORE} ")

    def _broken(self, tag: str) -> CorruptModel:
        line = self._parser.CurrentLineNumber
        return CorruptModel(
            f"the 3MF's <{tag.rpartition(' ')[2][:20]}> in line {line} is broken; export the model again"
        )
