"""Ray's own checks of a ``ray up`` file, without network: its JSON schema with every place told, then all of it."""

from __future__ import annotations

import contextlib
import copy
import difflib
import functools
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema

from cluster.checks.finding import Finding, mapping, shown, text

_ASKED = {"type": "a value of type {}", "minimum": "at least {}", "required": "the keys {}"}


def check_schema(config: dict[str, Any]) -> Iterator[Finding]:
    """Finds every violation of Ray's schema, with its place, and unknown keys with the key that was likely meant."""
    if mapping(config.get("provider")).get("type") == "local":
        # Ray moves min_workers into its one node type before it looks at the schema.
        config = {key: value for key, value in config.items() if key != "min_workers"}
    for error in sorted(jsonschema.Draft7Validator(_schema()).iter_errors(config), key=lambda found: found.json_path):
        place = error.json_path.removeprefix("$").removeprefix(".")
        known = sorted(mapping(mapping(error.schema).get("properties")))
        if error.validator == "additionalProperties":
            for key in sorted(set(mapping(error.instance)) - set(known)):
                likely = difflib.get_close_matches(key, known, 1)
                write = f"{likely[0]}, if that is meant" if likely else "nothing here: remove it"
                yield Finding("unknown-key", f"{place}.{key}".lstrip("."), "Ray knows no such key", write)
        else:
            asked = _ASKED.get(error.validator, "what Ray's schema asks: {}")
            yield Finding("schema", place, shown(error.message), asked.format(shown(error.validator_value)))


@functools.cache
def _schema() -> dict[str, Any]:
    import ray.autoscaler

    path = Path(str(ray.autoscaler.__file__)).parent / "ray-schema.json"
    schema: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return schema


def check_by_ray(config: dict[str, Any]) -> Iterator[Finding]:
    """Finds what ``ray up`` itself would refuse before it talks to a cloud: defaults filled in, then validated."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            validate_config(prepare_config(copy.deepcopy(config)))
    except Exception as error:  # Ray refuses by whatever its code trips over: KeyError, AssertionError, click's, ...
        reason = shown(text(getattr(error, "message", None)) or error)
        printed = shown(said.getvalue()) if "abort" in reason else ""
        yield Finding(
            "ray-refuses", "", f"ray up stops: {printed or f'{type(error).__name__}: {reason}'}", "as Ray asks"
        )
