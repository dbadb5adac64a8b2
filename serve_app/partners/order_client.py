"""The shop and the status service, asked over HTTP in a partner's name."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from http import HTTPStatus
from typing import Any
from uuid import UUID

import httpx
import obstore
import stamina
from obstore.store import from_url

from data.kit import trace
from data.model_store.store import StoredModel
from serve_app.kit.order_schemas import OrderBody
from serve_app.kit.problems import MEDIA_TYPE, unavailable
from serve_app.kit.upload import FILE_FIELD

_TIMEOUT = httpx.Timeout(30.0, connect=3.0)
_BLOCK_BYTES = 1 << 20
Content = Callable[[], AsyncIterator[bytes]]


class UpstreamProblem(Exception):
    """Another service's problem: it is the caller's to hear as it is."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__(f"{answer.status_code} of {answer.url.path}")
        self.answer = answer


class OrderClient:
    """The services at ``api_url``. Every method raises Refused, and a 503 where a service is out of reach.

    A question whose connection fails is asked again twice: each of them may be asked twice without harm.
    """

    def __init__(self, api_url: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._client = httpx.AsyncClient(base_url=api_url, timeout=_TIMEOUT, transport=transport)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def begin(self, key: str, idempotency_key: str, wish: Mapping[str, Any]) -> UUID:
        """A new order at the shop, or the one that this idempotency key made."""
        headers = {"Idempotency-Key": idempotency_key}
        answer = await self._ask("POST", "/shop/orders", key, [HTTPStatus.CREATED], headers=headers, json=wish)
        return UUID(answer.json()["order_id"])

    async def order(self, key: str, ident: UUID) -> OrderBody:
        """An order as the shop knows it."""
        return _order(await self._ask("GET", f"/shop/orders/{ident}", key))

    async def put_model(self, key: str, ident: UUID, model: StoredModel, unit: str) -> OrderBody:
        """Give the order its model; one that is beyond this comes back as it is."""
        boundary = secrets.token_hex(16)
        begin = (
            f"--{boundary}\r\nContent-Disposition: form-data; name={FILE_FIELD}; filename={FILE_FIELD}\r\n"
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        end = f"\r\n--{boundary}--\r\n".encode()
        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(begin) + model.bytes + len(end)),
        }

        async def content() -> AsyncIterator[bytes]:
            yield begin
            async for block in _blocks(model):
                yield block
            yield end

        path = f"/shop/orders/{ident}/model"
        return await self._step("PUT", path, key, ident, content, headers=headers, params={"unit": unit})

    async def submit(self, key: str, ident: UUID) -> OrderBody:
        """Ask for its price; one that is beyond this comes back as it is."""
        return await self._step("POST", f"/shop/orders/{ident}/submit", key, ident)

    async def get_status(self, key: str, ident: UUID) -> OrderBody:
        """An order as the status service knows it, or the shop where it has not been told yet."""
        known = [HTTPStatus.OK, HTTPStatus.NOT_FOUND]
        answer = await self._ask("GET", f"/status/orders/{ident}", key, known)
        return _order(answer) if answer.status_code == HTTPStatus.OK else await self.order(key, ident)

    async def _step(
        self, method: str, path: str, key: str, ident: UUID, content: Content | None = None, **rest: Any
    ) -> OrderBody:
        answer = await self._ask(method, path, key, [HTTPStatus.OK, HTTPStatus.CONFLICT], content, **rest)
        return _order(answer) if answer.status_code == HTTPStatus.OK else await self.order(key, ident)

    async def _ask(
        self,
        method: str,
        path: str,
        key: str,
        expected: Collection[HTTPStatus] = (HTTPStatus.OK,),
        content: Content | None = None,
        headers: Mapping[str, str] | None = None,
        **rest: Any,
    ) -> httpx.Response:
        all_headers = {"X-API-Key": key, "traceparent": trace.traceparent(), **(headers or {})}
        try:
            async for attempt in stamina.retry_context(
                on=(httpx.NetworkError, httpx.RemoteProtocolError), attempts=3, wait_initial=0.1, wait_max=1.0
            ):
                with attempt:
                    body = content() if content else None
                    answer = await self._client.request(method, path, headers=all_headers, content=body, **rest)
        except httpx.HTTPError as error:
            raise unavailable(f"{_service(path)} can't be reached ({type(error).__name__})") from error
        if answer.status_code in expected:
            return answer
        if answer.headers.get("content-type", "").startswith(MEDIA_TYPE):
            raise UpstreamProblem(answer)
        raise unavailable(f"{_service(path)} answers with HTTP {answer.status_code}")


def _service(path: str) -> str:
    return f"the service {path.split('/')[1]}"


def _order(answer: httpx.Response) -> OrderBody:
    return OrderBody.model_validate_json(answer.content)


async def _blocks(model: StoredModel) -> AsyncIterator[bytes]:
    folder, name = model.url.rsplit("/", 1)
    found = await obstore.get_async(from_url(folder), name)
    async for block in found.stream(min_chunk_size=_BLOCK_BYTES):
        yield bytes(block)
