"""Violations of the Open Packaging Conventions (ECMA-376 part 2) that leave a 3MF readable."""

from __future__ import annotations

from collections.abc import Iterator

from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.threemf_package import MODEL_RELATIONSHIP, RELATIONSHIPS, Package, feed, part_key, safe_parser

_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
_TYPES_PART = "[content_types].xml"
_MODEL_TYPE = "application/vnd.ms-package.3dmanufacturing-3dmodel+xml"
_MAX_FAULTS = 20


def package_faults(package: Package) -> list[str]:
    """Return up to 20 violations in content types (OPC 10.1.2) and relationships (OPC 9.3), a line each."""
    faults: list[str] = []
    for fault in (*_content_type_faults(package), *_relationship_faults(package)):
        if fault not in faults and len(faults) < _MAX_FAULTS:
            faults.append(fault)
    return faults


def _elements(package: Package, name: str) -> list[tuple[str, dict[str, str]]]:
    elements: list[tuple[str, dict[str, str]]] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        if len(elements) < 100_000:
            elements.append((tag, attributes))

    parser = safe_parser()
    parser.StartElementHandler = start
    feed(parser, package.blocks(name), name)
    return elements


def _content_type_faults(package: Package) -> Iterator[str]:
    if _TYPES_PART not in package:
        yield "[Content_Types].xml is missing"
        return
    by_extension: dict[str, str] = {}
    by_part: dict[str, str] = {}
    for tag, attributes in _elements(package, _TYPES_PART):
        content_type = attributes.get("ContentType", "")
        if tag == f"{_TYPES} Default":
            extension = attributes.get("Extension", "").lower()
            if not extension or extension in by_extension:
                yield f"content types repeat the extension {extension[:20]!a} or leave it empty"
            by_extension[extension] = content_type
        elif tag == f"{_TYPES} Override":
            part = attributes.get("PartName", "")
            if not part.startswith("/") or part in by_part:
                yield f"content types repeat the part {part[:40]!a} or omit its path"
            by_part[part] = content_type
    types_by_key = {part_key(part): content_type for part, content_type in by_part.items() if part.startswith("/")}
    content_type = types_by_key.get(package.root, by_extension.get(package.root.rpartition(".")[2], ""))
    if content_type != _MODEL_TYPE:
        yield f"the model's content type is {content_type[:60]!a}"


def _relationship_faults(package: Package) -> Iterator[str]:
    folder, _, file_name = package.root.rpartition("/")
    for name, base in (("_rels/.rels", ""), (f"{folder}/_rels/{file_name}.rels".lstrip("/"), package.root)):
        if name not in package:
            continue
        values: set[str] = set()
        for tag, attributes in _elements(package, name):
            if tag != f"{RELATIONSHIPS} Relationship":
                continue
            relationship_id, target = attributes.get("Id", ""), attributes.get("Target", "")
            if not relationship_id or relationship_id[0].isdigit() or relationship_id in values:
                yield f"the relationship id {relationship_id[:20]!a} is empty, starts with a digit or repeats"
            values.add(relationship_id)
            reference = f"{attributes.get('Type')} {target}"
            if reference in values:
                yield f"two relationships have the target {target[:40]!a}"
            values.add(reference)
            if attributes.get("TargetMode", "Internal") == "External":
                yield f"a relationship has the external target {target[:40]!a}"
            elif not _exists(package, target, base):
                yield f"a relationship has the target {target[:40]!a}, which does not exist"
            if attributes.get("Type") == MODEL_RELATIONSHIP and package.root.rpartition("/")[2].startswith("."):
                yield "the name of the model part starts with a period"


def _exists(package: Package, target: str, base: str) -> bool:
    try:
        return package.resolve(target, base) in package
    except CorruptModel:
        return False
