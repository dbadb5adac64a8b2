"""Documents: every path and link in them exists, decisions are numbered without gaps and have one form."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.paths import ROOT

FOLDERS = ("pricing_engine", "data", "serve_app", "cluster", "benchmarks", "tests", "docs")
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for found in (ROOT.glob("*.md"), *((ROOT / folder).rglob("*.md") for folder in FOLDERS))
    for path in found
)
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
QUESTIONS = 15
README_LINES = 120
SECTIONS = ("## Context", "## Decision", "## Consequences")

_PATH = re.compile(
    rf"(?<![\w./~-])(?:{'|'.join(FOLDERS)})/[\w./-]*\.(?:py|md|yaml|toml|json|html|js|lock|in|jars|svg|png)\b"
)
_DOCUMENT_PATH = re.compile(r"(?<![\w./~-])docs/[\w./-]*\.md\b")
_LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#\s]*)(#[^)\s]*)?\)")
_ROW = re.compile(r"^\| (Where|What|Which|Why|How|Who)[^|]*\? \| `([^`]+)` \|$", re.MULTILINE)
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def read(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub creates for the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "]", heading).lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def broken_links(document: str) -> list[str]:
    """Return the relative links of a document that lead to no file or to no heading."""
    broken = []
    for target, anchor in _LINK.findall(_FENCE.sub("", read(document))):
        path = (ROOT / document).parent / target if target else ROOT / document
        if not path.exists():
            broken.append(target)
        elif anchor and path.suffix == ".md" and anchor[1:] not in anchors(path.read_text(encoding="utf-8")):
            broken.append(target + anchor)
    return broken


def missing(paths: list[str]) -> list[str]:
    return sorted({path for path in paths if not (ROOT / path).exists()})


class TestEveryDocument:
    @pytest.mark.parametrize("document", DOCUMENTS)
    def test_its_links_lead_to_files_and_headings(self, document: str) -> None:
        assert broken_links(document) == []

    @pytest.mark.parametrize("document", DOCUMENTS)
    def test_the_paths_in_it_exist(self, document: str) -> None:
        assert missing(_PATH.findall(read(document))) == []


class TestTheTableOfQuestions:
    def test_it_has_fifteen_questions_with_existing_files(self) -> None:
        paths = [path for _, path in _ROW.findall(read("ARCHITECTURE.md"))]
        assert len(paths) == QUESTIONS
        assert missing(paths) == []


class TestDecisions:
    def test_they_are_numbered_without_gaps(self) -> None:
        assert [int(path.name[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))

    @pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.name)
    def test_each_has_the_one_form(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        assert re.match(rf"# {int(path.name[:4])}\. \S.*\n\n\*\*Status:\*\* \S", text)
        places = [text.find(f"\n{section}\n") for section in SECTIONS]
        assert -1 not in places
        assert places == sorted(places)

    def test_the_index_lists_each_with_its_title(self) -> None:
        index = read("docs/decisions/README.md")
        for path in DECISIONS:
            title = path.read_text(encoding="utf-8").splitlines()[0].partition(". ")[2]
            assert f"({path.name}) | {title} |" in index


def test_the_index_of_documents_names_all_of_them() -> None:
    linked = {target for target, _ in _LINK.findall(read("docs/README.md"))}
    assert {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"} <= linked


def test_the_front_page_is_short() -> None:
    assert len(read("README.md").splitlines()) <= README_LINES


def test_documents_that_code_names_exist() -> None:
    sources = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    sources += [ROOT / "Makefile", *ROOT.glob("*.yaml"), *(ROOT / "cluster").rglob("*.yaml")]
    named = [path for source in sources for path in _DOCUMENT_PATH.findall(source.read_text(encoding="utf-8"))]
    assert missing(named) == []
