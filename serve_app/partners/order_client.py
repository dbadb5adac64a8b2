"""A client of the shop and the status service, with a partner's API key."""

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
    """Problem details of another service, to be passed on to the caller unchanged."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(f"{response.status_code} of {response.url.path}")
        self.response = response


class OrderClient:
    """The services at ``api_url``. Every method raises UpstreamProblem, and a 503 if a service can't be reached.

    A request whose connection fails is retried twice: all of them are idempotent.
    """

    def __init__(self, api_url: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._client = httpx.AsyncClient(base_url=api_url, timeout=_TIMEOUT, transport=transport)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def create_order(self, key: str, idempotency_key: str, order_request: Mapping[str, Any]) -> UUID:
        """Create an order in the shop, or return the one that was created with this idempotency key."""
        headers = {"Idempotency-Key": idempotency_key}
        response = await self._request(
            "POST", "/shop/orders", key, [HTTPStatus.CREATED], headers=headers, json=order_request
        )
        return UUID(response.json()["order_id"])

    async def get_order(self, key: str, order_id: UUID) -> OrderBody:
        """Return an order as the shop stores it."""
        return _order(await self._request("GET", f"/shop/orders/{order_id}", key))

    async def put_model(self, key: str, order_id: UUID, model: StoredModel, unit: str) -> OrderBody:
        """Upload the order's model; an order that is past this step is returned unchanged."""
        boundary = secrets.token_hex(16)
        head = (
            f"--{boundary}\r\nContent-Disposition: form-data; name={FILE_FIELD}; filename={FILE_FIELD}\r\n"
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(head) + model.bytes + len(tail)),
        }

        async def content() -> AsyncIterator[bytes]:
            yield head
            async for block in _blocks(model):
                yield block
            yield tail

        path = f"/shop/orders/{order_id}/model"
        return await self._step("PUT", path, key, order_id, content, headers=headers, params={"unit": unit})

    async def submit(self, key: str, order_id: UUID) -> OrderBody:
        """Submit an order for pricing; an order that is past this step is returned unchanged."""
        return await self._step("POST", f"/shop/orders/{order_id}/submit", key, order_id)

    async def get_status(self, key: str, order_id: UUID) -> OrderBody:
        """Return an order from the status service, or from the shop until the status service has its events."""
        expected = [HTTPStatus.OK, HTTPStatus.NOT_FOUND]
        response = await self._request("GET", f"/status/orders/{order_id}", key, expected)
        return _order(response) if response.status_code == HTTPStatus.OK else await self.get_order(key, order_id)

    async def _step(
        self, method: str, path: str, key: str, order_id: UUID, content: Content | None = None, **options: Any
    ) -> OrderBody:
        response = await self._request(method, path, key, [HTTPStatus.OK, HTTPStatus.CONFLICT], content, **options)
        return _order(response) if response.status_code == HTTPStatus.OK else await self.get_order(key, order_id)

    async def _request(
        self,
        method: str,
        path: str,
        key: str,
        expected: Collection[HTTPStatus] = (HTTPStatus.OK,),
        content: Content | None = None,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> httpx.Response:
        all_headers = {"X-API-Key": key, "traceparent": trace.traceparent(), **(headers or {})}
        try:
            async for attempt in stamina.retry_context(
                on=(httpx.NetworkError, httpx.RemoteProtocolError), attempts=3, wait_initial=0.1, wait_max=1.0
            ):
                with attempt:
                    body = content() if content else None
                    response = await self._client.request(method, path, headers=all_headers, content=body, **options)
        except httpx.HTTPError as error:
            raise unavailable(f"{_service(path)} can't be reached ({type(error).__name__})") from error
        if response.status_code in expected:
            return response
        if response.headers.get("content-type", "").startswith(MEDIA_TYPE):
            raise UpstreamProblem(response)
        raise unavailable(f"{_service(path)} answers with HTTP {response.status_code}")


def _service(path: str) -> str:
    return f"the service {path.split('/')[1]}"


def _order(response: httpx.Response) -> OrderBody:
    return OrderBody.model_validate_json(response.content)


async def _blocks(model: StoredModel) -> AsyncIterator[bytes]:
    folder, name = model.url.rsplit("/", 1)
    stored = await obstore.get_async(from_url(folder), name)
    async for block in stored.stream(min_chunk_size=_BLOCK_BYTES):
        yield bytes(block)
