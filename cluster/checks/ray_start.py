"""Shell commands of a cluster file, read for what matters here: ``ray start``, its options, and its environment."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import click

from cluster.checks.finding import Finding, sequence

_SEPARATORS = ";&|()<>"
_WRAPPERS = {"{", "exec", "nohup", "setsid"}


@dataclass
class RayStart:
    """One ``ray start``: where it stands, its options by Ray's own parser (``dashboard_host``), and its environment."""

    key: str
    options: dict[str, Any]
    environment: dict[str, str] = field(default_factory=dict)


def ray_starts(commands: Any, key: str) -> tuple[list[RayStart], list[Finding]]:
    """Every ``ray start`` in a list of shell commands, and what its parser or the shell would refuse."""
    starts: list[RayStart] = []
    findings: list[Finding] = []
    for index, command in enumerate(sequence(commands)):
        if not isinstance(command, str):
            continue
        place = f"{key}[{index}]"
        exported: dict[str, str] = {}
        try:
            simple_commands = list(_simple_commands(command))
        except ValueError as error:
            findings.append(Finding("shell-syntax", place, f"the shell would refuse it: {error}", "closed quotes"))
            continue
        for words in simple_commands:
            own, rest = _assignments(list(itertools.dropwhile(_WRAPPERS.__contains__, words)))
            if rest[:1] == ["export"]:
                exported |= _assignments(rest[1:])[0]
            elif len(rest) >= 2 and rest[0].rsplit("/", 1)[-1] == "ray" and rest[1] == "start":
                options = parse_ray_start(rest[2:])
                if isinstance(options, str):
                    findings.append(Finding("ray-start-option", place, options, "options of `ray start --help`"))
                else:
                    starts.append(RayStart(place, options, exported | own))
    return starts, findings


def parse_ray_start(words: list[str]) -> dict[str, Any] | str:
    """The options as this Ray's own command line reads them, or its complaint in one line. Starts nothing."""
    from ray.scripts.scripts import start

    try:
        return dict(start.make_context("ray start", list(words)).params)
    except click.exceptions.Exit:
        return "--help and --version start nothing"
    except click.ClickException as error:
        return error.format_message().rstrip(".")


def docker_environment(options: Any) -> dict[str, str]:
    """The variables that ``docker run`` options set: ``-e A=b``, ``--env A=b``, ``--env=A=b``."""
    found: dict[str, str] = {}
    for option in sequence(options):
        if not isinstance(option, str):
            continue
        words = option.replace("--env=", "--env ").replace("-e=", "-e ").split()
        for flag, value in itertools.pairwise(words):
            if flag in {"-e", "--env"} and "=" in value:
                name, _, content = value.partition("=")
                found[name] = content.strip("'\"")
    return found


def _simple_commands(command: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(command, posix=True, punctuation_chars=_SEPARATORS)
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    for word in lexer:
        if word and set(word) <= set(_SEPARATORS):
            if words and words[-1].isdigit() and word[0] in "<>":
                words.pop()  # the 2 of 2>&1
            yield words
            words = []
        else:
            words.append(word)
    yield words


def _assignments(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """The assignments at the front of a simple command, and the words after them."""
    found: dict[str, str] = {}
    for index, word in enumerate(words):
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            return found, words[index:]
        found[name] = value
    return found, []
