"""Reads one YAML document as plain data, safely: bounded size and expansion, no tags, no key twice.

Aliases are counted as if written out, before anything is built, since rules and schemas walk the expanded data: a few
lines of nested aliases ("billion laughs") stand for more nodes than memory holds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from cluster.checks.finding import Finding, shown

MAX_BYTES = 256 * 1024
MAX_NODES = 20_000


def read_file(path: Path) -> tuple[Any, list[Finding]]:
    """The document in ``path`` and what is wrong with reading it; with findings the document is None."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        return None, [Finding("unreadable", "", error.strerror or str(error), "the path of a file that can be read")]
    if len(raw) > MAX_BYTES:
        return None, [Finding("too-large", "", f"more than {MAX_BYTES // 1024} KiB", "a cluster file")]
    try:
        return read_text(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        return None, [Finding("not-yaml", "", f"byte {error.start} is not UTF-8", "YAML in UTF-8")]


def read_text(content: str, where: str = "") -> tuple[Any, list[Finding]]:
    """The document in ``content`` (which stands under the key ``where``) and what is wrong with reading it."""
    try:
        loader = yaml.SafeLoader(content)
        node = loader.get_single_node()
        if node is None:
            return None, [Finding("empty", where, "the document is empty", "a mapping of keys and values")]
        findings = list(_guard(node, where))
        if findings:
            return None, findings
        document = loader.construct_document(node)
    except yaml.YAMLError as error:
        return None, [Finding("not-yaml", where, _where_and_what(error), "valid YAML, one document, no tags")]
    except RecursionError:
        return None, [Finding("too-deep", where, "nested too deeply to be a cluster file", "fewer levels")]
    except ValueError as error:
        return None, [Finding("not-yaml", where, shown(error), "quotes around the value")]
    if not isinstance(document, dict):
        return None, [Finding("not-mapping", where, f"a {type(document).__name__} at the top", "keys and values")]
    findings = list(_unplain(document, where))
    return (None, findings) if findings else (document, [])


def _guard(root: yaml.Node, where: str) -> Iterator[Finding]:
    """Finds aliases to themselves, too many nodes once aliases are written out, and keys that stand twice."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()
    twice: list[Finding] = []

    def size(node: yaml.Node) -> int:
        if id(node) in sizes:
            return sizes[id(node)]
        if id(node) in open_nodes:
            raise yaml.YAMLError("an alias stands inside the value that it names")
        open_nodes.add(id(node))
        total = 1
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode):
                    if key.value in seen:
                        line = key.start_mark.line + 1
                        twice.append(
                            Finding(
                                "key-twice",
                                key.value,
                                f"stands twice, again in line {line}",
                                "it once: the last would win",
                            )
                        )
                    seen.add(key.value)
                total += size(key) + size(value)
        elif isinstance(node, yaml.SequenceNode):
            total += sum(size(item) for item in node.value)
        open_nodes.discard(id(node))
        sizes[id(node)] = total
        return total

    if size(root) > MAX_NODES:
        yield Finding("too-large", where, f"more than {MAX_NODES} values once aliases are written out", "fewer aliases")
    yield from twice


def _unplain(value: Any, where: str) -> Iterator[Finding]:
    """Finds what JSON cannot say: keys that are not text, dates, bytes, sets, infinite numbers."""
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, str):
                yield from _unplain(item, f"{where}.{key}" if where else key)
            else:
                yield Finding(
                    "key-not-text", where, f"the key {shown(key)} is read as {type(key).__name__}", "it in quotes"
                )
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unplain(item, f"{where}[{index}]")
    elif isinstance(value, float) and not math.isfinite(value):
        yield Finding("not-plain", where, "not a finite number", "a number")
    elif value is not None and not isinstance(value, str | int | float | bool):
        yield Finding("not-plain", where, f"{shown(value)} is read as {type(value).__name__}", "it in quotes")


def _where_and_what(error: yaml.YAMLError) -> str:
    """PyYAML's several lines as one."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {shown(error.problem)}"
    return shown(error)
