"""Uploads: a multipart body is parsed as it arrives, and its file is written to the model store block by block."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from data.model_store.store import IncomingModel, ModelStore, ModelTooLarge, StoredModel
from serve_app.kit.problems import Problem
from serve_app.kit.settings import settings

FILE_FIELD = "model"
UNBOUNDED = 1 << 50
"""``max_body_size`` of a route that calls :func:`receive`: the store itself limits the size of a model."""
_MAX_FIELD_BYTES, _MAX_FIELDS = 4096, 32
_MAX_OVERHEAD_BYTES = 1 << 20
"""Of a body apart from its model: the fields and delimiters."""
Fields = TypeVar("Fields", bound=BaseModel)


@dataclass(slots=True)
class Upload:
    """A parsed multipart body: the stored model, and the text fields beside it."""

    model: StoredModel
    fields: dict[str, str]


async def receive(request: Request, store: ModelStore) -> Upload:
    """Read a multipart body with the file ``model`` into the store.

    Raises Problem: 415 for another media type, 400 for a body that is malformed or has no file, 408 for one that
    stalls; ModelTooLarge; StoreUnavailable if the store is full or down. Then nothing of the model is stored.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "not-multipart", "send multipart/form-data with a file `model`"
        )
    if int(request.headers.get("content-length", 0)) > store.max_bytes + _MAX_OVERHEAD_BYTES:
        raise ModelTooLarge(store.max_bytes)  # before it is read
    async with store.receive() as incoming:
        form = _Form(incoming)
        try:
            parser = MultipartParser(boundary, form.callbacks())
            async for block in _blocks(request):
                parser.write(block)
                await form.write_blocks()
            parser.finalize()
        except FormParserError as error:
            raise _malformed(str(error)) from error
        if not form.complete:
            raise _malformed("the body ends in the middle")
        if not form.has_file or not incoming.bytes:
            raise _malformed(f"there is no file `{FILE_FIELD}`, or it is empty")
        return Upload(await store.save(incoming), form.fields)


def validate_fields(kind: type[Fields], fields: dict[str, str], where: str = "body") -> Fields:
    """Return the text fields as a model; raises RequestValidationError as FastAPI does."""
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise RequestValidationError([{**each, "loc": (where, *each["loc"])} for each in error.errors()]) from error


async def _blocks(request: Request) -> AsyncIterator[bytes]:
    stream = aiter(request.stream())
    while True:
        try:
            yield await asyncio.wait_for(anext(stream), settings().upload_idle_timeout_s)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise Problem(HTTPStatus.REQUEST_TIMEOUT, "slow-upload", "the upload sent nothing for too long") from error
        except ClientDisconnect as error:
            raise _malformed("the connection was closed in the middle") from error


def _malformed(detail: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, "malformed-upload", detail)


@dataclass(slots=True)
class _Form:
    """Collects what the parser reports; :meth:`write_blocks` writes the blocks of the file."""

    incoming: IncomingModel
    fields: dict[str, str] = field(default_factory=dict)
    has_file: bool = False
    complete: bool = False
    _blocks: list[bytes] = field(default_factory=list)
    _header_bytes: bytes = b""
    _value_bytes: bytes = b""
    _name: str = ""
    _is_file: bool = False
    _text: bytes = b""

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._start_part,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._end_header,
            "on_part_data": self._data,
            "on_part_end": self._end_part,
            "on_end": self._end_body,
        }

    async def write_blocks(self) -> None:
        """Write the blocks of the file that were parsed."""
        blocks, self._blocks = self._blocks, []
        for block in blocks:
            await self.incoming.write(block)

    def _start_part(self) -> None:
        self._name, self._is_file, self._text = "", False, b""

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_bytes += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value_bytes += data[start:end]

    def _end_header(self) -> None:
        if self._header_bytes.lower() == b"content-disposition":
            _, options = parse_options_header(self._value_bytes)
            self._name = options.get(b"name", b"").decode(errors="replace")
            self._is_file = self._name == FILE_FIELD and b"filename" in options
            if self._is_file and self.has_file:
                raise FormParserError(f"there are two files `{FILE_FIELD}`")
            self.has_file |= self._is_file
        self._header_bytes = self._value_bytes = b""

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._blocks.append(data[start:end])
            return
        self._text += data[start:end]
        if len(self._text) > _MAX_FIELD_BYTES:
            raise FormParserError(f"the field {self._name!r} is too long")

    def _end_part(self) -> None:
        if not self._is_file and self._name:
            self.fields[self._name] = self._text.decode(errors="replace")
            if len(self.fields) > _MAX_FIELDS:
                raise FormParserError("there are too many fields")

    def _end_body(self) -> None:
        self.complete = True


def documented(**fields: dict[str, Any]) -> dict[str, Any]:
    """Return ``openapi_extra`` of a route that calls :func:`receive`: the file, and ``fields`` by their schemas."""
    required = [FILE_FIELD, *(name for name, schema in fields.items() if schema.pop("required", False))]
    properties = {
        FILE_FIELD: {"type": "string", "format": "binary", "description": "The file of the 3D model"},
        **fields,
    }
    schema = {"type": "object", "required": required, "properties": properties}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}
