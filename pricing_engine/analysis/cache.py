"""Analyses kept on disk under the hash of what they depend on, when the caller asks for it."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path

from pricing_engine import ENGINE_VERSION
from pricing_engine.analysis.measure import Settings, analysis_id, measure
from pricing_engine.analysis.model import Analysis, AnalysisFormatError
from pricing_engine.mesh.errors import UnreadableFile


def cached_analysis(
    path: Path, unit: str | None, settings: Settings, threads: int | None, folder: Path | None
) -> Analysis:
    """The analysis of the model at ``path``: from ``folder`` if it is there, else measured, and kept there."""
    if folder is None or not path.is_file():
        return measure(path, unit, settings, threads).analysis
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    entry = folder / f"{analysis_id(digest, unit, settings).removeprefix('sha256:')}.json"
    found = _read(entry)
    if found is not None:
        return found
    analysis = measure(path, unit, settings, threads).analysis
    _write(entry, analysis)
    return analysis


def _read(entry: Path) -> Analysis | None:
    """The kept analysis; None when there is none or when it was cut short, so that it is measured anew."""
    try:
        analysis = Analysis.from_dict(json.loads(entry.read_text()))
    except (FileNotFoundError, ValueError, AnalysisFormatError):
        return None
    return analysis if analysis.engine_version == ENGINE_VERSION else None


def _write(entry: Path, analysis: Analysis) -> None:
    """Write beside and rename, so that a reader never sees half of it."""
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=entry.parent, delete=False) as file:
            json.dump(analysis.to_dict(), file)
        os.replace(file.name, entry)
    except OSError as error:
        raise UnreadableFile(
            f"{entry.parent}: can't keep analyses here ({error.strerror}); name another --cache"
        ) from error
