"""JSON responses written by pydantic, and versions of rows as ETags."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Header
from pydantic import BaseModel
from starlette.responses import Response

from serve_app.kit.problems import Problem

_ETAG = re.compile(r'\s*(?:W/)?"(\d{1,9})"\s*')


def json_response(
    body: BaseModel, status: HTTPStatus = HTTPStatus.OK, version: int | None = None, **headers: str
) -> Response:
    """Return ``body`` as JSON, without FastAPI's second validation; ``version`` becomes the ETag."""
    all_headers = {name.replace("_", "-").title(): value for name, value in headers.items()}
    if version is not None:
        all_headers["ETag"] = f'"{version}"'
    return Response(body.model_dump_json(), status, all_headers, "application/json")


async def _if_match(
    if_match: Annotated[
        str | None,
        Header(max_length=100, description='ETag of the version to change, such as `"3"`; 412 if it has changed since'),
    ] = None,
) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    match = _ETAG.fullmatch(if_match)
    if match is None:
        raise Problem(HTTPStatus.PRECONDITION_FAILED, "stale-version", 'If-Match takes an ETag of ours, such as "3"')
    return int(match.group(1))


IfMatchVersion = Annotated[int | None, Depends(_if_match)]
"""The version that the caller expects, from If-Match; None for any."""
