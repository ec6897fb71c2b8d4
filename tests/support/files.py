"""The bucket in memory: `Files` without S3, and the requests that it would have made."""

import hashlib
import io
from collections.abc import Iterable, Iterator
from typing import IO

from segmentation.errors import InvalidFile, NotFound
from segmentation.store.files import AlreadyThere, Files, Head


class MemoryFiles(Files):
    """Objects by key; `requests` lists what was asked for, in order, as (method, key, bytes)."""

    def __init__(self) -> None:
        super().__init__(None, "memory")
        self.objects: dict[str, bytes] = {}
        self.requests: list[tuple[str, str, int]] = []

    def head(self, key: str) -> Head:
        self.requests.append(("head", key, 0))
        return Head(len(self._object(key)), self._etag(key), None)

    def get(self, key: str) -> bytes:
        self.requests.append(("get", key, len(self._object(key))))
        return self._object(key)

    def get_range(self, key: str, start: int, end: int, etag: str | None = None) -> bytes:
        if etag and etag != self._etag(key):
            raise InvalidFile(f"the object {key!r} changed while it was being read; drop it again")
        self.requests.append(("get", key, max(0, end - start)))
        return self._object(key)[start:end]

    def open_stream(self, key: str) -> IO[bytes]:
        return io.BytesIO(self.get(key))

    def put(self, key: str, data: bytes, if_absent: bool = False, content_type: str | None = None) -> None:
        if if_absent and key in self.objects:
            raise AlreadyThere(key)
        self.requests.append(("put", key, len(data)))
        self.objects[key] = bytes(data)

    def put_stream(self, key: str, content_type: str = "application/octet-stream") -> "MemoryUpload":  # type: ignore[override]
        return MemoryUpload(self, key)

    def list(self, prefix: str) -> Iterator[str]:
        yield from sorted(key for key in self.objects if key.startswith(prefix))

    def delete(self, keys: Iterable[str]) -> None:
        for key in list(keys):
            self.objects.pop(key, None)

    def _object(self, key: str) -> bytes:
        if key not in self.objects:
            raise NotFound(f"the object {key!r} does not exist in the bucket; was it deleted?")
        return self.objects[key]

    def _etag(self, key: str) -> str:
        return hashlib.sha256(self._object(key)).hexdigest()


class MemoryUpload(io.BytesIO):
    """A file to write to; the object appears when the `with` block ends well."""

    def __init__(self, files: MemoryFiles, key: str) -> None:
        super().__init__()
        self._files, self._key = files, key

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self._files.put(self._key, self.getvalue())
        self.close()
