"""Errors as RFC 9457 problem details: raised where the fault is found, turned into a response in one place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from psycopg import DataError
from pydantic import BaseModel, Field
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from data.contracts.lifecycle import IllegalStep
from data.kit.database import UNAVAILABLE_ERRORS
from data.kit.errors import BadCursor, KeyReused, NotFound, StaleVersion
from data.model_store.store import ModelTooLarge, StoreUnavailable

MEDIA_TYPE = "application/problem+json"
# Types are names, not addresses: RFC 9457 allows a URI that can't be fetched, and this one never moves.
TYPE_PREFIX = "urn:facet:problem:"

_log = structlog.get_logger(__name__)


class Problem(Exception):
    """An error response.

    ``code``: the stable end of the problem's ``type``. ``members``: further ones, such as the legal steps of an order.
    """

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.headers, self.members = status, code, detail, headers, members


class ProblemBody(BaseModel, extra="allow"):
    """An error as problem details (RFC 9457); some types have further members."""

    type: str = Field(description="Stable name of the kind of problem, such as `urn:facet:problem:not-found`")
    title: str = Field(description="The HTTP status in words")
    status: int = Field(description="The HTTP status code")
    detail: str = Field(description="What is wrong with this request, in words")
    instance: str = Field(description="The path that was requested")


def not_found(what: str) -> Problem:
    """Return a 404, also for a row of another owner: whether it exists is not disclosed."""
    return Problem(HTTPStatus.NOT_FOUND, "not-found", f"there is no such {what}, or it is not yours")


def too_large() -> Problem:
    """Return a 413 for a body above the limit for all requests but uploads."""
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body-too-large", "this body is larger than the operation accepts"
    )


def unavailable(detail: str, retry_after_s: int = 2) -> Problem:
    """Return a 503: a server that the request needs is down or too busy, and a retry may succeed."""
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", detail, {"Retry-After": str(retry_after_s)})


def to_response(request: Request, problem: Problem) -> JSONResponse:
    """Return the problem as a response."""
    body = ProblemBody(
        type=TYPE_PREFIX + problem.code,
        title=problem.status.phrase,
        status=problem.status,
        detail=problem.detail,
        instance=request.url.path,
        **problem.members,
    )
    return JSONResponse(body.model_dump(mode="json"), problem.status, problem.headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Turn every error of ``app`` into a problem, including those of the framework and unexpected ones."""
    _describe(app)
    app.add_middleware(_PlainTextReplaced)

    @app.exception_handler(Problem)
    async def _problem(request: Request, error: Problem) -> JSONResponse:
        return to_response(request, error)

    for kind, to_problem in _TO_PROBLEM.items():
        app.add_exception_handler(kind, _handler(to_problem))

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        wrong = [{"where": ".".join(map(str, each["loc"])), "what": each["msg"]} for each in error.errors()]
        detail = "; ".join(f"{each['where']}: {each['what']}" for each in wrong)
        return to_response(request, Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", detail, errors=wrong))

    @app.exception_handler(HTTPException)
    async def _framework(request: Request, error: HTTPException) -> JSONResponse:
        status = HTTPStatus(error.status_code)
        if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return to_response(request, too_large())
        code = status.phrase.lower().replace(" ", "-")
        return to_response(request, Problem(status, code, str(error.detail), error.headers))

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> JSONResponse:
        _log.error("unexpected error", path=request.url.path, exc_info=error)
        detail = "the fault is ours and was logged; try again, or report the time and the path"
        return to_response(request, Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal-error", detail))


class _PlainTextReplaced:
    """Middleware that replaces the plain-text 413 which the framework sends before any handler runs."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        plain = False

        async def send_problem(message: Message) -> None:
            nonlocal plain
            if message["type"] == "http.response.start":
                kind = Headers(raw=message["headers"]).get("content-type")
                plain = message["status"] == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and kind != MEDIA_TYPE
            if not plain:
                await send(message)
            elif message["type"] == "http.response.start":
                await to_response(Request(scope), too_large())(scope, receive, send)

        await self._app(scope, receive, send_problem)


def _describe(app: FastAPI) -> None:
    """Add the schema of problems to the document: FastAPI's ``model`` of a response would call them plain JSON."""
    build = app.openapi

    def openapi() -> dict[str, Any]:
        document = build()
        document.setdefault("components", {}).setdefault("schemas", {})[ProblemBody.__name__] = _SCHEMA
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _illegal_step(error: IllegalStep) -> Problem:
    return Problem(
        HTTPStatus.CONFLICT, "illegal-step", str(error), order_status=error.status, legal_steps=list(error.legal)
    )


def _stale_version(error: StaleVersion) -> Problem:
    return Problem(HTTPStatus.PRECONDITION_FAILED, "stale-version", str(error), {"ETag": f'"{error.current}"'})


_TO_PROBLEM: dict[type[Exception], Callable[[Any], Problem]] = {
    IllegalStep: _illegal_step,
    StaleVersion: _stale_version,
    NotFound: lambda error: Problem(HTTPStatus.NOT_FOUND, "not-found", str(error)),
    KeyReused: lambda error: Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "key-reused", str(error)),
    BadCursor: lambda error: Problem(HTTPStatus.BAD_REQUEST, "bad-page-token", str(error)),
    ModelTooLarge: lambda error: Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "model-too-large", str(error)),
    # Freeing a disk takes longer than the default of two seconds.
    StoreUnavailable: lambda error: unavailable(str(error), retry_after_s=10),
    # Mostly NUL in a text: JSON and URLs can contain it, PostgreSQL can't.
    DataError: lambda error: Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "not-storable", f"this can't be stored: {error}"),
    **{kind: lambda _error: unavailable("the database is down or too busy") for kind in UNAVAILABLE_ERRORS},
}
"""Errors of the layers below -> the problem that the caller gets."""


def _handler(to_problem: Callable[[Any], Problem]) -> Callable[[Request, Exception], Awaitable[JSONResponse]]:
    async def handle(request: Request, error: Exception) -> JSONResponse:
        return to_response(request, to_problem(error))

    return handle


_SCHEMA = ProblemBody.model_json_schema()
_CONTENT = {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{ProblemBody.__name__}"}}}
DOCUMENTED: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "content": _CONTENT,
        "description": "The request can't be served as it is: problem details, whose `type` names the problem",
    },
    "5XX": {
        "content": _CONTENT,
        "description": "The service failed, or is unavailable for now: 503 with Retry-After, to be tried again",
    },
}
"""``responses=`` of an application with :func:`install`: documents what errors look like."""
