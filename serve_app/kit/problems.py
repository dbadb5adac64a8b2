"""Errors as RFC 9457 problem details: raised where the fact is known, turned into an answer in one place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from psycopg import DataError
from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from data.contracts.lifecycle import IllegalStep
from data.kit.database import UNAVAILABLE_ERRORS
from data.kit.errors import BadCursor, KeyReused, NotFound, StaleVersion
from data.model_store.store import ModelTooLarge, StoreUnavailable

MEDIA_TYPE = "application/problem+json"
# Types are names, not addresses: RFC 9457 allows a URI that leads nowhere, and this one never moves.
TYPE_PREFIX = "urn:facet:problem:"

_log = structlog.get_logger(__name__)


class Problem(Exception):
    """An answer that is not the one asked for.

    ``code``: the stable end of the problem's ``type``. ``more``: further members, such as the legal steps of an order.
    """

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.headers, self.more = status, code, detail, headers, more


class ProblemBody(BaseModel, extra="allow"):
    """What a problem looks like on the wire."""

    type: str
    title: str
    status: int
    detail: str
    instance: str


def not_found(what: str) -> Problem:
    """Also where it is somebody else's: whether it exists is nobody's business."""
    return Problem(HTTPStatus.NOT_FOUND, "not-found", f"there is no such {what}, or it is not yours")


def too_large() -> Problem:
    """A body that is larger than any but a model may be."""
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body-too-large", "this body is larger than any that is meant")


def unavailable(detail: str, retry_after_s: int = 2) -> Problem:
    """Something that we need is away, or too busy: the same request may go well later."""
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", detail, {"Retry-After": str(retry_after_s)})


def answer(request: Request, problem: Problem) -> JSONResponse:
    """The problem as a response."""
    body = ProblemBody(
        type=TYPE_PREFIX + problem.code,
        title=problem.status.phrase,
        status=problem.status,
        detail=problem.detail,
        instance=request.url.path,
        **problem.more,
    )
    return JSONResponse(body.model_dump(mode="json"), problem.status, problem.headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make every error of ``app`` a problem, those of the framework and those that nobody foresaw too."""
    _describe(app)
    app.add_middleware(_Explained)

    @app.exception_handler(Problem)
    async def _ours(request: Request, error: Problem) -> JSONResponse:
        return answer(request, error)

    for kind, turn in _FORESEEN.items():
        app.add_exception_handler(kind, _handler(turn))

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        wrong = [{"where": ".".join(map(str, each["loc"])), "what": each["msg"]} for each in error.errors()]
        detail = "; ".join(f"{each['where']}: {each['what']}" for each in wrong)
        return answer(request, Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", detail, errors=wrong))

    @app.exception_handler(HTTPException)
    async def _framework(request: Request, error: HTTPException) -> JSONResponse:
        status = HTTPStatus(error.status_code)
        if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return answer(request, too_large())
        code = status.phrase.lower().replace(" ", "-")
        return answer(request, Problem(status, code, str(error.detail), error.headers))

    @app.exception_handler(Exception)
    async def _unforeseen(request: Request, error: Exception) -> JSONResponse:
        _log.error("unforeseen", path=request.url.path, exc_info=error)
        detail = "the fault is ours and was logged; try again, or tell us the time and the path"
        return answer(request, Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal-error", detail))


class _Explained:
    """Makes a problem of the 413 that the framework answers by itself, in plain text, where no handler sees it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        plain = False

        async def explained(message: Message) -> None:
            nonlocal plain
            if message["type"] == "http.response.start":
                kind = Headers(raw=message["headers"]).get("content-type")
                plain = message["status"] == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and kind != MEDIA_TYPE
            if not plain:
                await send(message)
            elif message["type"] == "http.response.start":
                await answer(Request(scope), too_large())(scope, receive, send)

        await self._app(scope, receive, explained)


def _describe(app: FastAPI) -> None:
    """Let the document have the schema of problems: FastAPI's ``model`` of an answer would call them plain JSON."""
    without = app.openapi

    def openapi() -> dict[str, Any]:
        document = without()
        document.setdefault("components", {}).setdefault("schemas", {})[ProblemBody.__name__] = _SCHEMA
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _illegal_step(error: IllegalStep) -> Problem:
    return Problem(
        HTTPStatus.CONFLICT, "illegal-step", str(error), order_status=error.status, legal_steps=list(error.legal)
    )


def _stale(error: StaleVersion) -> Problem:
    return Problem(HTTPStatus.PRECONDITION_FAILED, "stale-version", str(error), {"ETag": f'"{error.current}"'})


_FORESEEN: dict[type[Exception], Callable[[Any], Problem]] = {
    IllegalStep: _illegal_step,
    StaleVersion: _stale,
    NotFound: lambda error: Problem(HTTPStatus.NOT_FOUND, "not-found", str(error)),
    KeyReused: lambda error: Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "key-reused", str(error)),
    BadCursor: lambda error: Problem(HTTPStatus.BAD_REQUEST, "bad-page-token", str(error)),
    ModelTooLarge: lambda error: Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "model-too-large", str(error)),
    # A disk is freed by people or by retention, not in two seconds.
    StoreUnavailable: lambda error: unavailable(str(error), retry_after_s=10),
    # NUL in a text above all: JSON and URLs can have it, PostgreSQL can't.
    DataError: lambda error: Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "not-storable", f"this can't be kept: {error}"),
    **{kind: lambda _error: unavailable("the database is away or too busy") for kind in UNAVAILABLE_ERRORS},
}
"""Errors of the layers below -> what callers are told."""


def _handler(turn: Callable[[Any], Problem]) -> Callable[[Request, Exception], Awaitable[JSONResponse]]:
    async def handle(request: Request, error: Exception) -> JSONResponse:
        return answer(request, turn(error))

    return handle


_SCHEMA = ProblemBody.model_json_schema()
_CONTENT = {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{ProblemBody.__name__}"}}}
DOCUMENTED: dict[int | str, dict[str, Any]] = {
    "4XX": {"content": _CONTENT, "description": "A problem; its `type` says which"},
    "5XX": {"content": _CONTENT, "description": "A fault of ours, or too much load (503 with Retry-After)"},
}
"""For ``responses=`` of an application that :func:`install` was given: its document knows what errors look like."""
