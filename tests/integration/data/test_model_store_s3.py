"""The model store in a bucket: the same guarantees as in a folder, over the S3 protocol (moto's server)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer

from data.model_store.store import ModelStore, StoredModel
from pricing_engine.distributed.model_source import ModelVanished, local_file

MAX_BYTES = 64 << 20
BUCKET = "models"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Yield the URL of an empty bucket, configured by environment variables as on a cluster."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    reached_by = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
    }
    for name, value in reached_by.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket=BUCKET)
    yield f"s3://{BUCKET}/prefix"
    server.stop()


async def save(store: ModelStore, model: bytes) -> StoredModel:
    async with store.receive() as incoming:
        await incoming.write(model)
        return await store.save(incoming)


@pytest.mark.parametrize("size", [1000, 20 << 20], ids=["in one piece", "in parts"])
async def test_a_stored_model_is_found_and_read_by_a_worker(bucket: str, size: int) -> None:
    store, model = ModelStore(bucket, MAX_BYTES), hashlib.shake_256(b"a model").digest(size)
    stored = await save(store, model)
    assert await save(store, model) == stored == await store.find(stored.sha256)
    assert (stored.bytes, stored.url) == (size, f"{bucket}/{hashlib.sha256(model).hexdigest()}")
    with local_file(stored.url) as path:
        assert path.read_bytes() == model


async def test_a_missing_model_is_reported(bucket: str) -> None:
    assert await ModelStore(bucket, MAX_BYTES).find("0" * 64) is None
    with pytest.raises(ModelVanished, match="upload it again"), local_file(f"{bucket}/{'0' * 64}"):
        pass
