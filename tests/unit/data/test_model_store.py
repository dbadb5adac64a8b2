"""The model store: equal bytes are one object, none is larger than it may be, and what was not kept is gone."""

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


def keep(store: ModelStore, *blocks: bytes) -> StoredModel:
    async def kept() -> StoredModel:
        async with store.receive() as incoming:
            for block in blocks:
                await incoming.write(block)
            return await store.save(incoming)

    return asyncio.run(kept())


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(model=st.binary(min_size=1, max_size=MAX_BYTES) | st.integers(0, 18).map(stl), cut=st.integers(1, 100))
def test_what_is_kept_is_found_by_its_hash(store: ModelStore, folder: Path, model: bytes, cut: int) -> None:
    kept = keep(store, *(model[at : at + cut] for at in range(0, len(model), cut)))
    assert (kept.sha256, kept.bytes) == (hashlib.sha256(model).hexdigest(), len(model))
    assert asyncio.run(store.find(kept.sha256)) == kept
    assert (folder / kept.url.rpartition("/")[2]).read_bytes() == model
    assert kept.url.startswith(folder.as_uri())


def test_equal_bytes_are_one_object(store: ModelStore, folder: Path) -> None:
    assert keep(store, b"solid ", b"ring") == keep(store, b"solid ring")
    assert files(folder) == [hashlib.sha256(b"solid ring").hexdigest()]


def test_many_at_once_are_one_object_too(store: ModelStore, folder: Path) -> None:
    async def one() -> StoredModel:
        async with store.receive() as incoming:
            await incoming.write(b"solid ring")
            return await store.save(incoming)

    async def all_of_them() -> set[StoredModel]:
        return set(await asyncio.gather(*(one() for _ in range(20))))

    assert len(asyncio.run(all_of_them())) == 1
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
def test_a_binary_stl_bears_its_suffix(store: ModelStore, model: bytes, is_stl: bool, cut: int) -> None:
    kept = keep(store, *(model[at : at + cut] for at in range(0, len(model), cut)))
    assert kept.url.endswith(kept.sha256 + (".stl" if is_stl else ""))


def test_no_model_is_larger_than_it_may_be(store: ModelStore, folder: Path) -> None:
    assert keep(store, bytes(MAX_BYTES)).bytes == MAX_BYTES
    before = files(folder)
    for blocks in ([bytes(MAX_BYTES + 1)], [bytes(MAX_BYTES), b"x"]):
        with pytest.raises(ModelTooLarge) as caught:
            keep(store, *blocks)
        assert caught.value.max_bytes == MAX_BYTES
    assert files(folder) == before


def test_what_was_not_kept_is_gone(store: ModelStore, folder: Path) -> None:
    async def begun() -> None:
        async with store.receive() as incoming:
            await incoming.write(b"solid ring")
            raise ConnectionError

    with pytest.raises(ConnectionError):
        asyncio.run(begun())
    assert files(folder) == []


def full_disk(monkeypatch: pytest.MonkeyPatch, fails_at: str) -> None:
    """Let the disk be full from one system call of an upload on."""

    def fail(*_arguments: object, **_names: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a/secret/path")

    if fails_at == "write":
        made = tempfile.mkstemp

        def onto_full_device(*arguments: object) -> tuple[int, str]:
            descriptor, name = made(*arguments)  # type: ignore[call-overload]
            os.dup2(os.open("/dev/full", os.O_WRONLY), descriptor)  # the kernel's own ENOSPC
            return descriptor, name

        monkeypatch.setattr(tempfile, "mkstemp", onto_full_device)
    else:
        monkeypatch.setattr(tempfile if fails_at == "mkstemp" else os, fails_at, fail)


@pytest.mark.parametrize("fails_at", ["mkstemp", "write", "fsync", "link", "replace"])
@pytest.mark.parametrize("size", [10, 200_000], ids=["in the buffer", "beyond the buffer"])
def test_a_full_disk_keeps_nothing_and_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, fails_at: str, size: int
) -> None:
    store, model = ModelStore(folder.as_uri(), 1 << 20), bytes(size)
    before = store_with(folder, b"there before")
    with monkeypatch.context() as disk:
        full_disk(disk, fails_at)
        with pytest.raises(StoreUnavailable, match="No space left on device") as caught:
            keep(store, model)
        assert "secret" not in str(caught.value)
        assert files(folder) == before
        assert asyncio.run(store.find(hashlib.sha256(model).hexdigest())) is None
    assert asyncio.run(store.find(keep(store, model).sha256)) is not None


def store_with(folder: Path, model: bytes) -> list[str]:
    keep(ModelStore(folder.as_uri(), MAX_BYTES), model)
    return files(folder)


def test_what_is_not_there_is_not_found(store: ModelStore) -> None:
    assert asyncio.run(store.find("0" * 64)) is None


def test_a_store_that_is_no_folder_keeps_and_finds_too() -> None:
    store = ModelStore("memory:///models", MAX_BYTES)
    kept = keep(store, b"solid ring")
    assert keep(store, b"solid ", b"ring") == kept
    assert asyncio.run(store.find(kept.sha256)) == kept
    assert asyncio.run(store.find(hashlib.sha256(b"another").hexdigest())) is None


def test_who_is_cancelled_at_any_moment_leaves_no_file(store: ModelStore, folder: Path) -> None:
    async def upload() -> None:
        async with store.receive() as incoming:
            for _ in range(50):
                await incoming.write(b"solid ring")

    async def main() -> None:
        for turns in range(20):
            uploading = asyncio.create_task(upload())
            for _ in range(turns):
                await asyncio.sleep(0)
            uploading.cancel()
            await asyncio.gather(uploading, return_exceptions=True)
        await asyncio.to_thread(lambda: None)  # threads that were at work have ended

    asyncio.run(main())
    assert files(folder) == []


def test_what_a_killed_process_left_is_swept_after_a_day(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, age_s in (("incoming-old.part", 100_000), ("incoming-new.part", 10), ("a" * 64, 100_000)):
        (folder / name).touch()
        os.utime(folder / name, (time.time() - age_s,) * 2)
    ModelStore(folder.as_uri(), MAX_BYTES)
    assert files(folder) == ["a" * 64, "incoming-new.part"]
