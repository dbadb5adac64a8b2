"""The model store: equal bytes are one object, the size is limited, and unsaved uploads are deleted."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import struct
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.model_store.store import ModelStore, ModelTooLarge, StoredModel, StoreUnavailable

MAX_BYTES = 1000


def stl(facets: int, extra: bytes = b"") -> bytes:
    return bytes(80) + struct.pack("<I", facets) + bytes(50 * facets) + extra


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "with space" / "models"


@pytest.fixture
def store(folder: Path) -> ModelStore:
    return ModelStore(folder.as_uri(), MAX_BYTES)


async def save(store: ModelStore, *blocks: bytes) -> StoredModel:
    async with store.receive() as incoming:
        for block in blocks:
            await incoming.write(block)
        return await store.save(incoming)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(model=st.binary(min_size=1, max_size=MAX_BYTES) | st.integers(0, 18).map(stl), cut=st.integers(1, 100))
async def test_a_stored_model_is_found_by_its_hash(store: ModelStore, folder: Path, model: bytes, cut: int) -> None:
    stored = await save(store, *(model[at : at + cut] for at in range(0, len(model), cut)))
    assert (stored.sha256, stored.bytes) == (hashlib.sha256(model).hexdigest(), len(model))
    assert await store.find(stored.sha256) == stored
    assert (folder / stored.url.rpartition("/")[2]).read_bytes() == model
    assert stored.url.startswith(folder.as_uri())


async def test_equal_bytes_are_one_object(store: ModelStore, folder: Path) -> None:
    assert await save(store, b"solid ", b"ring") == await save(store, b"solid ring")
    assert files(folder) == [hashlib.sha256(b"solid ring").hexdigest()]


async def test_concurrent_uploads_of_equal_bytes_are_one_object(store: ModelStore, folder: Path) -> None:
    async def one() -> StoredModel:
        async with store.receive() as incoming:
            await incoming.write(b"solid ring")
            return await store.save(incoming)

    assert len(set(await asyncio.gather(*(one() for _ in range(20))))) == 1
    assert len(files(folder)) == 1


@pytest.mark.parametrize(
    ("model", "is_stl"),
    [
        (stl(0), True), (stl(7), True), (stl(7, b"!"), False), (stl(7)[:-1], False), (stl(7)[:84], False),
        (b"solid" + stl(3)[5:], True), (b"solid ascii", False), (bytes(83), False),
    ],
    ids=lambda each: f"{len(each)} bytes" if isinstance(each, bytes) else None,
)  # fmt: skip
@pytest.mark.parametrize("cut", [1, 50, 1000])
async def test_a_binary_stl_has_its_suffix(store: ModelStore, model: bytes, is_stl: bool, cut: int) -> None:
    stored = await save(store, *(model[at : at + cut] for at in range(0, len(model), cut)))
    assert stored.url.endswith(stored.sha256 + (".stl" if is_stl else ""))


async def test_a_model_over_the_limit_is_refused(store: ModelStore, folder: Path) -> None:
    assert (await save(store, bytes(MAX_BYTES))).bytes == MAX_BYTES
    before = files(folder)
    for blocks in ([bytes(MAX_BYTES + 1)], [bytes(MAX_BYTES), b"x"]):
        with pytest.raises(ModelTooLarge) as caught:
            await save(store, *blocks)
        assert caught.value.max_bytes == MAX_BYTES
    assert files(folder) == before


async def test_an_unsaved_upload_is_deleted(store: ModelStore, folder: Path) -> None:
    async def start_upload() -> None:
        async with store.receive() as incoming:
            await incoming.write(b"solid ring")
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await start_upload()
    assert files(folder) == []


def full_disk(monkeypatch: pytest.MonkeyPatch, fails_at: str) -> None:
    """Let the disk be full from one system call of an upload on."""

    def fail(*_arguments: object, **_names: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a/secret/path")

    if fails_at == "write":
        make_file = tempfile.mkstemp

        def onto_full_device(suffix: str, prefix: str, folder: str) -> tuple[int, str]:
            descriptor, name = make_file(suffix, prefix, folder)
            os.dup2(os.open("/dev/full", os.O_WRONLY), descriptor)  # the kernel's own ENOSPC
            return descriptor, name

        monkeypatch.setattr(tempfile, "mkstemp", onto_full_device)
    else:
        monkeypatch.setattr(tempfile if fails_at == "mkstemp" else os, fails_at, fail)


@pytest.mark.parametrize("fails_at", ["mkstemp", "write", "fsync", "link", "replace"])
@pytest.mark.parametrize("size", [10, 200_000], ids=["in the buffer", "beyond the buffer"])
async def test_a_full_disk_stores_nothing_and_raises(
    folder: Path, monkeypatch: pytest.MonkeyPatch, fails_at: str, size: int
) -> None:
    store, model = ModelStore(folder.as_uri(), 1 << 20), bytes(size)
    before = await store_with(folder, b"there before")
    with monkeypatch.context() as disk:
        full_disk(disk, fails_at)
        with pytest.raises(StoreUnavailable, match="No space left on device") as caught:
            await save(store, model)
        assert "secret" not in str(caught.value)
        assert files(folder) == before
        assert await store.find(hashlib.sha256(model).hexdigest()) is None
    assert await store.find((await save(store, model)).sha256) is not None


async def store_with(folder: Path, model: bytes) -> list[str]:
    await save(ModelStore(folder.as_uri(), MAX_BYTES), model)
    return files(folder)


async def test_an_unknown_hash_is_not_found(store: ModelStore) -> None:
    assert await store.find("0" * 64) is None


async def test_a_store_without_a_folder_saves_and_finds() -> None:
    store = ModelStore("memory:///models", MAX_BYTES)
    stored = await save(store, b"solid ring")
    assert await save(store, b"solid ", b"ring") == stored
    assert await store.find(stored.sha256) == stored
    assert await store.find(hashlib.sha256(b"another").hexdigest()) is None


async def test_a_cancelled_upload_leaves_no_file(store: ModelStore, folder: Path) -> None:
    async def upload() -> None:
        async with store.receive() as incoming:
            for _ in range(50):
                await incoming.write(b"solid ring")

    for steps in range(20):
        uploading = asyncio.create_task(upload())
        for _ in range(steps):
            await asyncio.sleep(0)
        uploading.cancel()
        await asyncio.gather(uploading, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_default_executor()  # running threads have ended
    assert files(folder) == []


def test_files_of_killed_processes_are_removed_after_a_day(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, age_s in (("incoming-old.part", 100_000), ("incoming-new.part", 10), ("a" * 64, 100_000)):
        (folder / name).touch()
        os.utime(folder / name, (time.time() - age_s,) * 2)
    ModelStore(folder.as_uri(), MAX_BYTES)
    assert files(folder) == ["a" * 64, "incoming-new.part"]
