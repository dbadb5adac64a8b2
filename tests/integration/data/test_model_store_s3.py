"""The model store in a bucket: the same promises as in a folder, over S3's own protocol (moto's server)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer

from data.model_store.store import ModelStore, StoredModel
from pricing_engine.distributed.model_source import ModelVanished, local_file

MOST = 64 << 20
BUCKET = "models"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a bucket that is empty; the environment says how it is reached, as on a cluster."""
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
    yield f"s3://{BUCKET}/here"
    server.stop()


def keep(store: ModelStore, model: bytes) -> StoredModel:
    async def kept() -> StoredModel:
        async with store.receive() as incoming:
            await incoming.write(model)
            return await store.save(incoming)

    return asyncio.run(kept())


@pytest.mark.parametrize("size", [1000, 20 << 20], ids=["in one piece", "in parts"])
def test_what_is_kept_is_found_and_reaches_a_worker(bucket: str, size: int) -> None:
    store, model = ModelStore(bucket, MOST), hashlib.shake_256(b"a model").digest(size)
    kept = keep(store, model)
    assert keep(store, model) == kept == asyncio.run(store.find(kept.sha256))
    assert (kept.bytes, kept.url) == (size, f"{bucket}/{hashlib.sha256(model).hexdigest()}")
    with local_file(kept.url) as path:
        assert path.read_bytes() == model


def test_what_is_not_there_is_told(bucket: str) -> None:
    assert asyncio.run(ModelStore(bucket, MOST).find("0" * 64)) is None
    with pytest.raises(ModelVanished, match="upload it again"), local_file(f"{bucket}/{'0' * 64}"):
        pass
