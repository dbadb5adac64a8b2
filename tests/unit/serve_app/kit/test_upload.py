"""Uploads: the same file and fields arrive however a body is cut into blocks; other bodies are refused."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from hypothesis import given, settings
from hypothesis import strategies as st

from data.model_store.store import ModelStore
from serve_app.kit import problems, upload
from serve_app.kit.settings import ServiceSettings

BOUNDARY = b"----cut-here"
MAX_BYTES = 1 << 16
KIND = f"multipart/form-data; boundary={BOUNDARY.decode()}"
Part = tuple[str, bytes]
Send = Callable[..., Awaitable[httpx.Response]]


def part(head: str, data: bytes) -> bytes:
    return b"--" + BOUNDARY + f"\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + data + b"\r\n"


def multipart(*parts: Part) -> bytes:
    return b"".join(part(head, data) for head, data in parts) + b"--" + BOUNDARY + b"--\r\n"


MODEL = 'name="model"; filename="a.stl"'
SMALL = multipart((MODEL, b"solid"), ('name="material"', b"brass"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    return ModelStore(tmp_path_factory.mktemp("models").as_uri(), MAX_BYTES)


@pytest.fixture(scope="module")
def send(store: ModelStore) -> Send:
    """Return a function that sends blocks to an application that only receives uploads; a number is a pause."""
    app = FastAPI()
    problems.install(app)

    @app.put("/model", max_body_size=upload.UNBOUNDED)
    async def put(request: Request) -> dict[str, Any]:
        uploaded = await upload.receive(request, store)
        return {"sha256": uploaded.model.sha256, "bytes": uploaded.model.bytes, "fields": uploaded.fields}

    async def send(
        *blocks: bytes | float, kind: str = KIND, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        async def content() -> AsyncIterator[bytes]:
            for block in blocks:
                if isinstance(block, bytes):
                    yield block
                else:
                    await asyncio.sleep(block)

        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.put("/model", content=content(), headers={"Content-Type": kind, **(headers or {})})

    return send


def stored(store: ModelStore) -> set[str]:
    """Return the names of the files in the store's folder."""
    return {path.name for path in Path(store._folder or "").iterdir()}


def refused(answer: httpx.Response, status: int, code: str) -> str:
    """The detail of a problem that has this status and code."""
    assert (answer.status_code, answer.json()["type"]) == (status, problems.TYPE_PREFIX + code), answer.text
    assert answer.headers["content-type"] == problems.MEDIA_TYPE
    return str(answer.json()["detail"])


NAMES = st.text("abcdefgh_", min_size=1, max_size=12).filter(lambda name: name != "model")
# The file is full of parts of the delimiters that the parser searches for.
BYTES = st.lists(st.sampled_from([b"\r\n", b"--", BOUNDARY, b"\r\n--" + BOUNDARY[:-1], b"x", b"\0\xff"])).map(b"".join)


@settings(max_examples=150, deadline=None)
@given(
    model=BYTES.filter(lambda data: b"\r\n--" + BOUNDARY not in data).filter(bool),
    fields=st.dictionaries(NAMES, st.text(max_size=50), max_size=5),
    place=st.integers(0, 5),
    cuts=st.lists(st.integers(0, 2000), max_size=30),
)
async def test_the_same_file_and_fields_however_it_is_cut(
    send: Send, model: bytes, fields: dict[str, str], place: int, cuts: list[int]
) -> None:
    if model.startswith(b"--" + BOUNDARY):  # after the empty line, that would be a delimiter
        model = b"x" + model
    parts = [(f'name="{name}"', value.encode()) for name, value in fields.items()]
    parts.insert(place, (MODEL, model))
    if any(b"\r\n--" + BOUNDARY in b"\r\n" + data for _, data in parts):
        return
    body = multipart(*parts)
    edges = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    answer = await send(*(body[begin:end] for begin, end in pairwise(edges)))
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"sha256": hashlib.sha256(model).hexdigest(), "bytes": len(model), "fields": fields}


@settings(max_examples=150, deadline=None)
@given(end=st.integers(0, len(SMALL) - 5), step=st.integers(1, 40))
async def test_a_truncated_body_is_refused(send: Send, end: int, step: int) -> None:
    body = SMALL[:end]
    refused(await send(*(body[at : at + step] for at in range(0, end, step))), 400, "malformed-upload")


@settings(max_examples=200, deadline=None)
@given(body=st.binary(max_size=200), prefix=st.booleans())
async def test_any_bytes_are_an_upload_or_a_400(send: Send, body: bytes, prefix: bool) -> None:
    refused(await send((b"--" + BOUNDARY + b"\r\n" if prefix else b"") + body), 400, "malformed-upload")


@settings(max_examples=200, deadline=None)
@given(kind=st.text(st.characters(min_codepoint=32, max_codepoint=126)).map(str.strip))
async def test_any_other_kind_of_body_is_a_415(send: Send, kind: str) -> None:
    assert (await send(SMALL, kind=kind)).status_code == 415
    assert (await send(SMALL, kind=f"multipart/form-data;{kind}")).status_code in (400, 415)


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data", "multipart/mixed; boundary=x", ""])
async def test_media_types_that_are_not_forms(send: Send, kind: str) -> None:
    assert "multipart/form-data" in refused(await send(SMALL, kind=kind), 415, "not-multipart")


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ([(MODEL, b"one"), (MODEL, b"two")], "two files"),
        ([('name="material"', b"brass")], "no file"),
        ([('name="model"', b"no filename")], "no file"),
        ([('name="other"; filename="a.stl"', b"solid")], "no file"),
        ([(MODEL, b"")], "empty"),
        ([(MODEL, b"solid"), ('name="material"', b"x" * 5000)], "too long"),
        ([(MODEL, b"solid"), *((f'name="f{n}"', b"") for n in range(40))], "too many fields"),
        ([(MODEL + "; x=" + "y" * 100_000, b"solid")], "eader"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
async def test_unusable_forms(send: Send, parts: list[Part], why: str) -> None:
    assert why in refused(await send(multipart(*parts)), 400, "malformed-upload")


async def test_a_model_above_the_limit_is_refused_while_it_arrives(send: Send) -> None:
    block = b"x" * 4096
    took = [part(MODEL, block)[:-2], *[block] * (MAX_BYTES // 4096 + 1)]
    # The remaining blocks would take an hour.
    refused(await send(*took, 3600.0), 413, "model-too-large")


async def test_a_body_with_too_large_a_content_length_is_refused_at_once(send: Send) -> None:
    size = MAX_BYTES + (2 << 20)
    refused(await send(3600.0, headers={"Content-Length": str(size)}), 413, "model-too-large")


async def test_an_upload_that_stalls_is_refused(send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "settings", lambda: ServiceSettings(upload_idle_timeout_s=0.1))
    assert (await send(SMALL[:40], 0.02, SMALL[40:80], 0.02, SMALL[80:])).status_code == 200
    refused(await send(SMALL[:40], 3600.0, SMALL[40:]), 408, "slow-upload")


async def test_nothing_of_a_refused_upload_is_stored(send: Send, store: ModelStore) -> None:
    before = stored(store)
    refused(await send(multipart((MODEL, b"never kept"), (MODEL, b"nor this"))), 400, "malformed-upload")
    refused(await send(part(MODEL, b"cut off")), 400, "malformed-upload")
    assert stored(store) == before
    assert not [name for name in before if name.endswith((".part", ".link"))]


async def test_a_full_disk_is_a_503_with_retry_after(
    send: Send, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stored(store)
    body = multipart((MODEL, b"kept once there is room"))
    with monkeypatch.context() as disk:

        def fail(_descriptor: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        disk.setattr(os, "fsync", fail)
        answer = await send(body)
        assert "No space left on device" in refused(answer, 503, "unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert stored(store) == before
    assert (await send(body)).status_code == 200


async def test_a_disconnected_client_leaves_nothing(store: ModelStore) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "PUT", "headers": [(b"content-type", KIND.encode())]}
    with pytest.raises(problems.Problem) as caught:
        await upload.receive(Request(scope, receive), store)
    assert (caught.value.status, caught.value.code) == (400, "malformed-upload")


def test_the_document_names_file_and_fields() -> None:
    fields: dict[str, dict[str, Any]] = {"unit": {"type": "string"}, "material": {"type": "string", "required": True}}
    schema = upload.documented(**fields)["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert schema["required"] == ["model", "material"]
    assert list(schema["properties"]) == ["model", "unit", "material"]
    assert "required" not in schema["properties"]["material"]
