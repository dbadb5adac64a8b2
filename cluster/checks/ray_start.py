"""Parse the shell commands of a cluster file for ``ray start``, its options, and its environment."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import click

from cluster.checks.finding import Finding, as_list

_SEPARATORS = ";&|()<>"
_WRAPPERS = {"{", "exec", "nohup", "setsid"}


@dataclass
class RayStart:
    """One ``ray start``: its key, its options by Ray's own parser (``dashboard_host``), and its environment."""

    key: str
    options: dict[str, Any]
    environment: dict[str, str] = field(default_factory=dict)


def ray_starts(commands: Any, key: str) -> tuple[list[RayStart], list[Finding]]:
    """Return every ``ray start`` in a list of shell commands, and what its parser or the shell would refuse."""
    starts: list[RayStart] = []
    findings: list[Finding] = []
    for index, command in enumerate(as_list(commands)):
        if not isinstance(command, str):
            continue
        path = f"{key}[{index}]"
        exported: dict[str, str] = {}
        try:
            simple_commands = list(_simple_commands(command))
        except ValueError as error:
            findings.append(Finding("shell-syntax", path, f"the shell would refuse it: {error}", "closed quotes"))
            continue
        for tokens in simple_commands:
            assigned, arguments = _assignments(list(itertools.dropwhile(_WRAPPERS.__contains__, tokens)))
            if arguments[:1] == ["export"]:
                exported |= _assignments(arguments[1:])[0]
            elif len(arguments) >= 2 and arguments[0].rsplit("/", 1)[-1] == "ray" and arguments[1] == "start":
                options = parse_ray_start(arguments[2:])
                if isinstance(options, str):
                    findings.append(Finding("ray-start-option", path, options, "options of `ray start --help`"))
                else:
                    starts.append(RayStart(path, options, exported | assigned))
    return starts, findings


def parse_ray_start(tokens: list[str]) -> dict[str, Any] | str:
    """Parse the options with Ray's own command line, without starting anything; return its error as one line."""
    from ray.scripts.scripts import start

    try:
        return dict(start.make_context("ray start", list(tokens)).params)
    except click.exceptions.Exit:
        return "--help and --version start nothing"
    except click.ClickException as error:
        return error.format_message().rstrip(".")


def docker_environment(options: Any) -> dict[str, str]:
    """Return the variables that ``docker run`` options set: ``-e A=b``, ``--env A=b``, ``--env=A=b``."""
    found: dict[str, str] = {}
    for option in as_list(options):
        if not isinstance(option, str):
            continue
        tokens = option.replace("--env=", "--env ").replace("-e=", "-e ").split()
        for flag, value in itertools.pairwise(tokens):
            if flag in {"-e", "--env"} and "=" in value:
                name, _, content = value.partition("=")
                found[name] = content.strip("'\"")
    return found


def _simple_commands(command: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(command, posix=True, punctuation_chars=_SEPARATORS)
    lexer.whitespace_split = True
    lexer.commenters = ""
    tokens: list[str] = []
    for token in lexer:
        if token and set(token) <= set(_SEPARATORS):
            if tokens and tokens[-1].isdigit() and token[0] in "<>":
                tokens.pop()  # the 2 of 2>&1
            yield tokens
            tokens = []
        else:
            tokens.append(token)
    yield tokens


def _assignments(tokens: list[str]) -> tuple[dict[str, str], list[str]]:
    """Split a simple command into its leading assignments and the remaining tokens."""
    found: dict[str, str] = {}
    for index, token in enumerate(tokens):
        name, equals, value = token.partition("=")
        if not equals or not name.isidentifier():
            return found, tokens[index:]
        found[name] = value
    return found, []
