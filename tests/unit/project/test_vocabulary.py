"""Vocabulary: no retired word in names that our code defines, in its prose, and in documents.

Names are those that our code binds (functions, parameters, variables, attributes, classes, files), split at
underscores and capitals; names of libraries are not ours. Prose is comments, docstrings, messages (texts with a blank)
and documents without their code. ``tests/vocabulary_allowed.txt`` lists exceptions, a line each: ``path:word: reason``.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PACKAGES = ("pricing_engine", "data", "serve_app", "cluster", "benchmarks", "tests")
ALLOWED = ROOT / "tests" / "vocabulary_allowed.txt"
_SKIPPED = {Path(__file__).name, "__pycache__"}

_SERVICES = "data|serve_app|cluster|tests/unit/(data|serve_app)|tests/(integration|services|chaos|support)"
ALL = (*PACKAGES, "documents")


@dataclass(frozen=True, slots=True)
class Retired:
    """``words``: retired; ``instead``: what to write. ``where``: a pattern of paths, all if empty."""

    words: str
    instead: str
    where: str = ""


PARTS = (
    Retired("told tell tells telling", "event, publish, on_progress, report"),
    Retired("hear hears heard", "handle, subscribe, connected"),
    Retired("say says said", "state, report, message"),
    Retired("come comes came coming", "arrive, next, received"),
    Retired("news", "event"),
    Retired("bell", "wake"),
    Retired("patience", "name each time-out"),
    Retired("look looks looked looking", "poll, read, check"),
    Retired("wish wishes wished wanted", "order request, expected"),
    Retired("made", "created"),
    Retired("asked", "page request, requested, parameters"),
    Retired("listed seen shown", "page, If-Match version, body, visited, printed"),
    Retired("bury buries buried", "send to dead letters"),
    Retired("ident idents", "order_id, quote_id, key, name"),
    Retired("moment", "timestamp, time", _SERVICES),
    Retired("whereabouts", "status"),
    Retired("dear dearer dearest", "expensive, high"),
    Retired("mend mends mended mending", "repair"),
    Retired("desk", "quote worker"),
    Retired("begun", "started"),
    Retired("gives", "returns, yields"),
    Retired("nobody somebody", "anonymous, none"),
    Retired("spread", "executor", "pricing_engine/(analysis|cli|distributed)|tests"),
    Retired("neighbours", "order client", _SERVICES),
    Retired("lane lanes", "bulkhead, slots", _SERVICES + "|pricing_engine/distributed"),
    Retired("turn turns", "decision, sequencing", _SERVICES),
    Retired("fresh together", "TTL cache, batch loader", _SERVICES),
    Retired("kept", "stored, cached", _SERVICES),
    Retired("complain", "log", "pricing_engine/cli|cluster"),
)
"""Retired as a part of a name."""

NAMES = (
    Retired("here over sound known given back room whole apart stay", "the field's term"),
    Retired("rest_s rest_until most_", "idle, max_"),
    Retired("word number tree ends", "text, integer, jsonb, outcomes", "data|serve_app|cluster"),
)
"""Retired as a name of its own; one with an underscore at its end is a prefix."""

PROSE = (
    Retired("told tell tells telling", "report, publish, notify"),
    Retired("hear hears heard hearing", "receive, handle"),
    Retired("say says said saying", "state, report"),
    Retired("come comes came coming", "arrive, follow"),
    Retired("news", "event"),
    Retired("bell", "wake-up"),
    Retired("patience", "name each time-out"),
    Retired("look looks looked looking", "poll, read, check"),
    Retired("wish wishes wished wanted", "order request, expected"),
    Retired("bury buries buried", "send to dead letters"),
    Retired("ident", "id, key, name"),
    Retired("whereabouts", "status"),
    Retired("dear dearer dearest", "expensive"),
    Retired("mend mends mended mending", "repair"),
    Retired("desk", "quote worker"),
    Retired("begun", "started"),
    Retired("nobody somebody", "no one named: the role, no process"),
)
PHRASES = {"at hand": "tracked, queued"}
"""Retired in comments, docstrings, messages and documents."""

ORDINARY_NAMES = re.compile(
    r"look_?ups?|lookups?|look_(ahead|behind)|(hand|take|carry|cross|roll)_overs?|spread_bits\w*|made_of|dead_letter\w*"
    r"|self_made|turn_?off|turn_?on|turns_per_\w+",
    re.IGNORECASE,
)
"""Names and parts of names with an ordinary meaning, removed before the search."""
ORDINARY_PROSE = re.compile(
    r"look(?:s|ed|ing)?[ -]?(?:-?ups?\b|ahead\b|behind\b)|lookups?\b"
    r"|\blook(?:s|ed|ing)?\s+a?like\b"
    r"|\bcom(?:e|es|ing)\s+(?:from|with|out of|to rest|of age|into force)\b"
    r"|``[^`]*``|`[^`]*`|https?://\S+",
    re.IGNORECASE,
)
"""Prose with an ordinary meaning, and code in prose, removed before the search."""

_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_FENCE = re.compile(r"^```.*?^```|^    \S.*?$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Finding:
    path: str
    word: str
    line: int
    text: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.word!r} in {self.text!r}; write {self.instead}"


def bound_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the names that the code defines, each with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name
            case ast.arg(arg=name):
                yield node.lineno, name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name
            case ast.alias(asname=str(name)):
                yield node.lineno, name
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield node.lineno, name


def prose_of(source: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield comments, docstrings and messages, each with its line."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.search(r"\w \w", node.value):
            yield node.lineno, node.value


@cache
def retired_names(path: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return what is retired at a path, as a part of a name and as a name: word -> what to write instead."""
    parts, names = (
        {word: rule.instead for rule in rules if re.match(rf"(?:{rule.where})", path) for word in rule.words.split()}
        for rules in (PARTS, NAMES)
    )
    return parts, names


def name_findings(path: str, line: int, name: str) -> Iterator[Finding]:
    parts, names = retired_names(path)
    for part in sorted({part.lower() for part in _PART.findall(ORDINARY_NAMES.sub("", name))} & parts.keys()):
        yield Finding(path, part, line, name, parts[part])
    plain = name.lower().strip("_")
    for word, instead in names.items():
        if plain == word or (word.endswith("_") and plain.startswith(word)):
            yield Finding(path, word, line, name, instead)


@cache
def _prose_pattern() -> re.Pattern[str]:
    words = "|".join(re.escape(word) for word in sorted(_prose_words(), key=len, reverse=True))
    return re.compile(rf"\b({words})\b", re.IGNORECASE)


@cache
def _prose_words() -> dict[str, str]:
    return {word: rule.instead for rule in PROSE for word in rule.words.split()} | PHRASES


def prose_findings(path: str, line: int, text: str) -> Iterator[Finding]:
    plain = ORDINARY_PROSE.sub(lambda code: "\n" * code.group().count("\n"), text)
    for found in _prose_pattern().finditer(plain):
        word = found.group().lower()
        around = " ".join(plain[max(0, found.start() - 30) : found.end() + 30].split())
        yield Finding(path, word, line + plain.count("\n", 0, found.start()), around, _prose_words()[word])


def code_findings(path: Path) -> Iterator[Finding]:
    name = path.relative_to(ROOT).as_posix()
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    for line, bound in [(1, path.stem), *bound_names(tree)]:
        yield from name_findings(name, line, bound)
    for line, text in prose_of(source, tree):
        yield from prose_findings(name, line, text)


def document_findings(path: Path) -> Iterator[Finding]:
    text = _FENCE.sub(lambda code: "\n" * code.group().count("\n"), path.read_text(encoding="utf-8"))
    yield from prose_findings(path.relative_to(ROOT).as_posix(), 1, text)


def allowed() -> dict[tuple[str, str], str]:
    """Return the exceptions: (pattern of paths, word) -> reason."""
    entries = {}
    for line in ALLOWED.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            path, word, reason = (part.strip() for part in line.split(":", 2))
            entries[path, word] = reason
    return entries


def findings_of(package: str) -> Iterator[Finding]:
    if package == "documents":
        documents = [*ROOT.glob("*.md"), *(p for name in (*PACKAGES, "docs") for p in (ROOT / name).rglob("*.md"))]
        for path in sorted(documents):
            yield from document_findings(path)
        return
    for path in sorted((ROOT / package).rglob("*.py")):
        if not _SKIPPED & set(path.parts):
            yield from code_findings(path)


@cache
def all_findings(package: str) -> tuple[Finding, ...]:
    return tuple(findings_of(package))


def not_allowed(findings: Iterable[Finding]) -> list[Finding]:
    entries = allowed()
    return [
        found
        for found in findings
        if not any(word == found.word and fnmatch(found.path, path) for path, word in entries)
    ]


@pytest.mark.parametrize("package", ALL)
def test_no_retired_word_is_left(package: str) -> None:
    found = not_allowed(all_findings(package))
    counts = ", ".join(f"{word} {count}" for word, count in Counter(each.word for each in found).most_common())
    assert found == [], f"{len(found)} retired words in {package} ({counts}):\n" + "\n".join(map(str, found))


class TestTheListOfExceptions:
    def test_each_has_a_reason(self) -> None:
        assert [entry for entry, reason in allowed().items() if len(reason.split()) < 2] == []

    def test_each_is_still_needed(self) -> None:
        every = [found for package in ALL for found in all_findings(package)]
        unused = [
            entry for entry in allowed() if not any(entry[1] == f.word and fnmatch(f.path, entry[0]) for f in every)
        ]
        assert unused == []


class TestTheSearch:
    """The search itself, over small texts."""

    @pytest.mark.parametrize(
        ("source", "word"),
        [
            ("def tell(order): ...", "tell"),
            ("class PatienceTimer: ...", "patience"),
            ("for ident in rows: ...", "ident"),
            ("_MOST_ROWS = 3", "most_"),
            ("def run(told=None): ...", "told"),
            ('"""The shop hears of it."""', "hears"),
            ("x = 1  # who asks hears nothing", "hears"),
            ('raise ValueError("nobody may do it")', "nobody"),
        ],
    )
    def test_it_finds(self, source: str, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert word in {found.word for found in self._found(source, tmp_path, monkeypatch)}

    @pytest.mark.parametrize(
        "source",
        [
            "position = file.tell()",
            "from hypothesis import given",
            "def look_up(key): ...",
            'LABEL = "told"',
            '"""Rows come from the table; see ``tell``."""',
            "event = asyncio.Event()",
            '"""Return the number of facets in a tree."""',
        ],
    )
    def test_it_leaves_ordinary_meanings(self, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self._found(source, tmp_path, monkeypatch) == []

    def _found(self, source: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
        path = folder / "serve_app" / "module.py"
        path.parent.mkdir()
        path.write_text(source + "\n")
        monkeypatch.setattr("tests.unit.project.test_vocabulary.ROOT", folder)
        return list(code_findings(path))
