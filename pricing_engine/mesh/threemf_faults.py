"""Faults of a 3MF's packaging against the Open Packaging Conventions that leave the model readable."""

from __future__ import annotations

from collections.abc import Iterator

from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.threemf_package import MODEL_RELATIONSHIP, RELATIONSHIPS, Package, feed, part_key, safe_parser

_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
_TYPES_PART = "[content_types].xml"
_MODEL_TYPE = "application/vnd.ms-package.3dmanufacturing-3dmodel+xml"
_MOST_FAULTS = 20


def package_faults(package: Package) -> list[str]:
    """What is wrong with content types and relationships, a line each, at most 20."""
    found: list[str] = []
    for fault in (*_content_type_faults(package), *_relationship_faults(package)):
        if fault not in found and len(found) < _MOST_FAULTS:
            found.append(fault)
    return found


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
        yield "there is no [Content_Types].xml"
        return
    by_extension: dict[str, str] = {}
    by_part: dict[str, str] = {}
    for tag, attributes in _elements(package, _TYPES_PART):
        kind = attributes.get("ContentType", "")
        if tag == f"{_TYPES} Default":
            extension = attributes.get("Extension", "").lower()
            if not extension or extension in by_extension:
                yield f"content types give the extension {extension[:20]!a} twice or empty"
            by_extension[extension] = kind
        elif tag == f"{_TYPES} Override":
            part = attributes.get("PartName", "")
            if not part.startswith("/") or part in by_part:
                yield f"content types give the part {part[:40]!a} twice or without its path"
            by_part[part] = kind
    named = {part_key(part): kind for part, kind in by_part.items() if part.startswith("/")}
    kind = named.get(package.root, by_extension.get(package.root.rpartition(".")[2], ""))
    if kind != _MODEL_TYPE:
        yield f"the model's content type is {kind[:60]!a}"


def _relationship_faults(package: Package) -> Iterator[str]:
    folder, _, file = package.root.rpartition("/")
    for name, base in (("_rels/.rels", ""), (f"{folder}/_rels/{file}.rels".lstrip("/"), package.root)):
        if name not in package:
            continue
        seen: set[str] = set()
        for tag, attributes in _elements(package, name):
            if tag != f"{RELATIONSHIPS} Relationship":
                continue
            identifier, target = attributes.get("Id", ""), attributes.get("Target", "")
            if not identifier or identifier[0].isdigit() or identifier in seen:
                yield f"the relationship id {identifier[:20]!a} is empty, begins with a digit or comes twice"
            seen.add(identifier)
            pair = f"{attributes.get('Type')} {target}"
            if pair in seen:
                yield f"two relationships lead to {target[:40]!a}"
            seen.add(pair)
            if attributes.get("TargetMode", "Internal") == "External":
                yield f"a relationship leads out of the package, to {target[:40]!a}"
            elif not _is_there(package, target, base):
                yield f"a relationship leads to {target[:40]!a}, which is not there"
            if attributes.get("Type") == MODEL_RELATIONSHIP and package.root.rpartition("/")[2].startswith("."):
                yield "the model's name begins with a period"


def _is_there(package: Package, target: str, base: str) -> bool:
    try:
        return package.resolve(target, base) in package
    except CorruptModel:
        return False
