"""Read a model from a path, a ``file://`` URL, or an object store supported by obstore (S3, GCS, Azure)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pricing_engine.mesh.errors import UnreadableFile

_BLOCK = 8 << 20


class ModelVanished(UnreadableFile):
    """The model is no longer in the store."""

    code = "model_vanished"


@contextmanager
def local_file(model: str) -> Iterator[Path]:
    """Yield the model as a local file for the duration of the block; raises ModelVanished."""
    url = urlsplit(model)
    if url.scheme in ("", "file"):
        path = Path(unquote(url.path) if url.scheme else model)
        if not path.exists():
            raise ModelVanished(f"{model}: the model is not in the store any more; upload it again")
        yield path
        return
    with tempfile.NamedTemporaryFile(suffix=Path(url.path).suffix) as copy:
        _download(model, copy.name)
        yield Path(copy.name)


@contextmanager
def spooled(name: str, content: bytes) -> Iterator[Path]:
    """Yield ``content`` as a file with the suffix of ``name``, for the duration of the block."""
    with tempfile.NamedTemporaryFile(suffix=Path(name).suffix) as copy:
        copy.write(content)
        copy.flush()
        yield Path(copy.name)


def _download(url: str, target: str) -> None:
    import obstore
    from obstore.exceptions import BaseError
    from obstore.store import from_url

    store, _, name = url.rpartition("/")
    try:
        with open(target, "wb") as file:
            for block in obstore.get(from_url(store), name).stream(min_chunk_size=_BLOCK):
                file.write(block)
    except FileNotFoundError as error:  # obstore's NotFoundError is one
        raise ModelVanished(f"{url}: the model is not in the store any more; upload it again") from error
    except BaseError as error:
        raise UnreadableFile(f"{url}: the store does not give the model ({error}); try again") from error
