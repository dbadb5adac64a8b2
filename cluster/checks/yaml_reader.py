"""Read one YAML document as plain data, safely: bounded size and expansion, no tags, no duplicate keys.

Aliases are counted as if expanded, before anything is built, since rules and schemas walk the expanded data: a few
lines of nested aliases ("billion laughs") expand to more nodes than memory holds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from cluster.checks.finding import Finding, one_line

MAX_BYTES = 256 * 1024
MAX_NODES = 20_000


def read_file(path: Path) -> tuple[Any, list[Finding]]:
    """Return the document in ``path`` and the findings of reading it; with findings the document is None."""
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


def read_text(content: str, key_path: str = "") -> tuple[Any, list[Finding]]:
    """Return the document in ``content`` (at the key ``key_path``) and the findings of reading it."""
    try:
        loader = yaml.SafeLoader(content)
        node = loader.get_single_node()
        if node is None:
            return None, [Finding("empty", key_path, "the document is empty", "a mapping of keys and values")]
        findings = list(_check_nodes(node, key_path))
        if findings:
            return None, findings
        document = loader.construct_document(node)
    except yaml.YAMLError as error:
        return None, [Finding("not-yaml", key_path, _one_line_error(error), "valid YAML, one document, no tags")]
    except RecursionError:
        return None, [Finding("too-deep", key_path, "nested too deeply to be a cluster file", "fewer levels")]
    except ValueError as error:
        return None, [Finding("not-yaml", key_path, one_line(error), "quotes around the value")]
    if not isinstance(document, dict):
        return None, [Finding("not-mapping", key_path, f"a {type(document).__name__} at the top", "keys and values")]
    findings = list(_check_plain(document, key_path))
    return (None, findings) if findings else (document, [])


def _check_nodes(root: yaml.Node, key_path: str) -> Iterator[Finding]:
    """Yield findings for recursive aliases, too many nodes once aliases are expanded, and duplicate keys."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()
    duplicates: list[Finding] = []

    def size(node: yaml.Node) -> int:
        if id(node) in sizes:
            return sizes[id(node)]
        if id(node) in open_nodes:
            raise yaml.YAMLError("an alias is inside the value that it refers to")
        open_nodes.add(id(node))
        total = 1
        if isinstance(node, yaml.MappingNode):
            keys: set[str] = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode):
                    if key.value in keys:
                        line = key.start_mark.line + 1
                        duplicates.append(
                            Finding(
                                "key-twice",
                                key.value,
                                f"duplicate, again in line {line}",
                                "it once: the last would win",
                            )
                        )
                    keys.add(key.value)
                total += size(key) + size(value)
        elif isinstance(node, yaml.SequenceNode):
            total += sum(size(item) for item in node.value)
        open_nodes.discard(id(node))
        sizes[id(node)] = total
        return total

    if size(root) > MAX_NODES:
        yield Finding("too-large", key_path, f"more than {MAX_NODES} values once aliases are expanded", "fewer aliases")
    yield from duplicates


def _check_plain(value: Any, key_path: str) -> Iterator[Finding]:
    """Yield findings for what JSON cannot express: keys that are not strings, dates, bytes, sets, infinite numbers."""
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, str):
                yield from _check_plain(item, f"{key_path}.{key}" if key_path else key)
            else:
                yield Finding(
                    "key-not-text", key_path, f"the key {one_line(key)} is read as {type(key).__name__}", "it in quotes"
                )
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _check_plain(item, f"{key_path}[{index}]")
    elif isinstance(value, float) and not math.isfinite(value):
        yield Finding("not-plain", key_path, "not a finite number", "a number")
    elif value is not None and not isinstance(value, str | int | float | bool):
        yield Finding("not-plain", key_path, f"{one_line(value)} is read as {type(value).__name__}", "it in quotes")


def _one_line_error(error: yaml.YAMLError) -> str:
    """Format PyYAML's multi-line error as one line."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {one_line(error.problem)}"
    return one_line(error)
