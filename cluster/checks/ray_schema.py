"""Ray's own checks of a ``ray up`` file, without network: its JSON schema with every violation, then all checks."""

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

from cluster.checks.finding import Finding, as_mapping, as_text, one_line

_EXPECTED = {"type": "a value of type {}", "minimum": "at least {}", "required": "the keys {}"}


def check_schema(config: dict[str, Any]) -> Iterator[Finding]:
    """Yield every violation of Ray's schema with its path, and unknown keys with the closest allowed key."""
    if as_mapping(config.get("provider")).get("type") == "local":
        # Ray moves min_workers into its one node type before it validates the schema.
        config = {key: value for key, value in config.items() if key != "min_workers"}
    for error in sorted(jsonschema.Draft7Validator(_schema()).iter_errors(config), key=lambda found: found.json_path):
        path = error.json_path.removeprefix("$").removeprefix(".")
        allowed = sorted(as_mapping(as_mapping(error.schema).get("properties")))
        if error.validator == "additionalProperties":
            for key in sorted(set(as_mapping(error.instance)) - set(allowed)):
                matches = difflib.get_close_matches(key, allowed, 1)
                fix = f"{matches[0]}, if that is meant" if matches else "nothing here: remove it"
                yield Finding("unknown-key", f"{path}.{key}".lstrip("."), "Ray has no such key", fix)
        else:
            expected = _EXPECTED.get(error.validator, "what Ray's schema requires: {}")
            yield Finding("schema", path, one_line(error.message), expected.format(one_line(error.validator_value)))


@functools.cache
def _schema() -> dict[str, Any]:
    import ray.autoscaler

    path = Path(str(ray.autoscaler.__file__)).parent / "ray-schema.json"
    schema: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return schema


def check_by_ray(config: dict[str, Any]) -> Iterator[Finding]:
    """Yield what ``ray up`` itself would refuse before it contacts a cloud: fill in defaults, then validate."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            validate_config(prepare_config(copy.deepcopy(config)))
    except Exception as error:  # Ray raises many kinds: KeyError, AssertionError, click's, ...
        reason = one_line(as_text(getattr(error, "message", None)) or error)
        printed = one_line(output.getvalue()) if "abort" in reason else ""
        yield Finding(
            "ray-refuses", "", f"ray up stops: {printed or f'{type(error).__name__}: {reason}'}", "as Ray requires"
        )
