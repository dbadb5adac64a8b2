"""Trace context: a valid traceparent is continued, anything else starts a new trace."""

from __future__ import annotations

import re

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import example, given
from hypothesis import strategies as st

from data.kit import trace
from serve_app.kit.trace_context import TraceContext, valid_traceparent

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
VALID = f"00-{TRACE}-{PARENT}-01"
FORM = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


async def traces_of(*values: bytes) -> list[str]:
    """Return the traces of two events that a request with these headers causes."""
    app = FastAPI()
    app.add_middleware(TraceContext)

    @app.get("/")
    async def events() -> list[str]:
        return [trace.traceparent(), trace.traceparent()]

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        response = await client.get("/", headers=[(b"traceparent", value) for value in values])
    found: list[str] = response.json()
    return found


@pytest.mark.parametrize(
    ("value", "continued"),
    [
        (VALID, VALID),
        (f"00-{TRACE}-{PARENT}-00", f"00-{TRACE}-{PARENT}-00"),
        (f"cc-{TRACE}-{PARENT}-01", VALID),
        (f"cc-{TRACE}-{PARENT}-01-more", VALID),
    ],
)
async def test_a_valid_trace_is_continued(value: str, continued: str) -> None:
    assert await traces_of(value.encode()) == [continued] * 2


@pytest.mark.parametrize(
    "value",
    [
        b"", b"x", b"\xe9\xff", VALID.encode() + b"\xe9", VALID.upper().encode(), VALID.encode() + b"-more",
        f"ff-{TRACE}-{PARENT}-01".encode(), f"00-{'0' * 32}-{PARENT}-01".encode(), f"00-{TRACE}-{'0' * 16}-01".encode(),
        f"00-{TRACE[:-1]}-{PARENT}-01".encode(), f"00-{TRACE}-{PARENT}".encode(), f"00-{TRACE}-{PARENT}-1".encode(),
    ],
)  # fmt: skip
async def test_an_invalid_trace_starts_a_new_one(value: bytes) -> None:
    first, second = await traces_of(value)
    assert first == second, "events of one request share a trace"
    assert FORM.fullmatch(first)
    assert TRACE not in first


async def test_without_a_trace_or_with_two_a_new_one_starts() -> None:
    assert FORM.fullmatch((await traces_of())[0])
    assert TRACE not in (await traces_of(VALID.encode(), VALID.encode()))[0]


# Of the shape of a trace, so that many are valid, and in the version, the case or the end not.
SHAPED = st.from_regex(rb"\A(00|0[0-9a-f]|ff)-[0-9a-f]{32}-([0-9a-f]{16}|0{16}|[0-9A-F]{16})-[0-9a-f]{2}(-.{0,9})?\Z")


@given(st.binary(max_size=80) | SHAPED)
@example(VALID.encode())
def test_any_bytes_are_a_valid_trace_or_none(value: bytes) -> None:
    found = valid_traceparent([value])
    if found is not None:
        assert FORM.fullmatch(found)
        assert found[2:].encode() == value[2 : len(VALID)]
        assert found[36:52] != "0" * 16
    elif FORM.fullmatch(value.decode("latin-1")):
        assert b"0" * 16 in value
