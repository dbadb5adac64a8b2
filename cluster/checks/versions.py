"""Image tags and the Ray version that requirements.lock pins: every node and the code must use the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cluster.checks.finding import Finding, as_text, one_line

# name[:tag][@digest], the registry's port kept out of the tag
_IMAGE = re.compile(
    r"^(?P<name>(?:[\w.-]+(?::\d+)?/)?[\w./-]+?)(?::(?P<tag>[\w][\w.-]{0,127}))?(?P<digest>@sha256:[0-9a-f]{64})?$"
)
_RAY_IN_TAG = re.compile(r"(?:^|[-_.])ray-?(\d+\.\d+\.\d+)")
_FLOATING = {"latest", "nightly", "main", "master", "edge", "stable", "dev"}


def locked_ray(lock: Path) -> str:
    """Return the Ray version that the lock file pins. Raises ValueError if it pins none, OSError if unreadable."""
    match = re.search(r"^ray==([^\s;\\]+)", lock.read_text("utf-8"), re.MULTILINE)
    if match is None:
        raise ValueError(f"{lock} pins no ray: write ray==VERSION into it")
    return match.group(1)


def check_image(image: Any, key: str, ray: str) -> Iterator[Finding]:
    """Yield findings for an image without a fixed tag, or whose Ray version is unknown or differs from ``ray``."""
    expected = f"a fixed tag with the Ray version, such as facet:0.1.0-ray{ray}-py311"
    match = _IMAGE.match(as_text(image)) if len(as_text(image)) <= 512 else None
    if match is None:
        yield Finding("image-name", key, f"{one_line(image)} is not an image's name", expected)
        return
    tag = match["tag"] or ""
    if not tag or tag in _FLOATING or tag.startswith(("latest-", "nightly-")):
        reason = f"the tag {tag!r} moves" if tag else "no tag, which means latest"
        yield Finding("image-unpinned", key, f"{reason}: nodes of one cluster could differ", expected)
        return
    found = _RAY_IN_TAG.search(tag) or (
        re.match(r"(\d+\.\d+\.\d+)", tag) if match["name"].endswith("rayproject/ray") else None
    )
    if found is None:
        yield Finding("image-ray-unknown", key, f"the tag {tag!r} does not contain the Ray version", expected)
    elif found.group(1) != ray:
        yield Finding("image-ray-version", key, f"Ray {found.group(1)}, but requirements.lock has {ray}", expected)
