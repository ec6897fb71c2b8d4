"""The bucket in memory: the methods of `Files` that code under test uses, and the requests they would make."""

import io
from collections.abc import Iterable, Iterator

from segmentation.errors import NotFound
from segmentation.store.files import AlreadyThere, Head


class MemoryFiles:
    """Objects by key; `requests` lists what was asked for, in order, as (method, key, bytes)."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.requests: list[tuple[str, str, int]] = []

    def head(self, key: str) -> Head:
        self.requests.append(("head", key, 0))
        return Head(len(self._object(key)), str(hash(self._object(key))), None)

    def get(self, key: str) -> bytes:
        self.requests.append(("get", key, len(self._object(key))))
        return self._object(key)

    def get_range(self, key: str, start: int, end: int, etag: str | None = None) -> bytes:
        self.requests.append(("get", key, max(0, end - start)))
        return self._object(key)[start:end]

    def open_range(self, key: str, etag: str | None = None) -> io.RawIOBase:
        self.head(key)
        return _Range(self, key)

    def open_stream(self, key: str) -> io.BytesIO:
        return io.BytesIO(self.get(key))

    def put(self, key: str, data: bytes, if_absent: bool = False, content_type: str | None = None) -> None:
        if if_absent and key in self.objects:
            raise AlreadyThere(key)
        self.objects[key] = bytes(data)

    def put_stream(self, key: str, content_type: str = "application/octet-stream") -> "_Upload":
        return _Upload(self, key)

    def list(self, prefix: str) -> Iterator[str]:
        yield from sorted(key for key in self.objects if key.startswith(prefix))

    def delete(self, keys: Iterable[str]) -> None:
        for key in list(keys):
            self.objects.pop(key, None)

    def _object(self, key: str) -> bytes:
        if key not in self.objects:
            raise NotFound(f"the object {key!r} does not exist in the bucket")
        return self.objects[key]


class _Range(io.RawIOBase):
    def __init__(self, files: MemoryFiles, key: str) -> None:
        self._files, self._key, self._position = files, key, 0
        self._size = len(files.objects[key])

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence] + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        end = self._size if size is None or size < 0 else min(self._size, self._position + size)
        data = self._files.get_range(self._key, self._position, end)
        self._position += len(data)
        return data

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Upload(io.BytesIO):
    def __init__(self, files: MemoryFiles, key: str) -> None:
        super().__init__()
        self._files, self._key = files, key

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self._files.put(self._key, self.getvalue())
        self.close()
