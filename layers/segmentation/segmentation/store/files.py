"""The S3 bucket: bytes and streams by key. It knows nothing of what the files hold."""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import batched
from types import TracebackType
from typing import Any, Self, cast

from botocore.exceptions import ClientError

from segmentation.errors import InvalidFile, NotFound, TooBusy

PART_BYTES = 8 * 2**20
_MISSING = {"NoSuchKey", "404", "NoSuchVersion", "AccessDenied", "403"}
"""Who may not list a bucket is told that an object that is not there is forbidden."""
_CHANGED = {"PreconditionFailed", "412"}


class AlreadyThere(Exception):
    """A put with `if_absent` found an object under the key."""


@dataclass(frozen=True)
class Head:
    """What is known of an object without reading it."""

    size: int
    etag: str
    version_id: str | None


class Files:
    """One S3 bucket.

    `reads` and `writes` count requests since the client was made, by their price: HEAD and GET are reads, PUT, POST and
    LIST are writes, DELETE is free.
    """

    reads = 0
    writes = 0

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self.bucket = bucket

    def head(self, key: str) -> Head:
        """Raises NotFound."""
        answer = self._call("head_object", key)
        return Head(answer["ContentLength"], answer["ETag"].strip('"'), answer.get("VersionId"))

    def get(self, key: str) -> bytes:
        """The whole object. Raises NotFound."""
        return cast(bytes, self._call("get_object", key)["Body"].read())

    def get_range(self, key: str, start: int, end: int, etag: str | None = None) -> bytes:
        """Bytes `start` to `end` (exclusive). With `etag`, an object that changed since is an InvalidFile."""
        if end <= start:
            return b""
        condition = {"IfMatch": f'"{etag}"'} if etag else {}
        return cast(bytes, self._call("get_object", key, Range=f"bytes={start}-{end - 1}", **condition)["Body"].read())

    def open_range(self, key: str, etag: str | None = None) -> "RangeFile":
        """A seekable file that fetches only what is read. Raises NotFound."""
        return RangeFile(self, key, self.head(key).size, etag)

    def put(self, key: str, data: bytes, if_absent: bool = False, content_type: str | None = None) -> None:
        """Write an object. With `if_absent`, an object that exists raises AlreadyThere."""
        arguments: dict[str, Any] = {"IfNoneMatch": "*"} if if_absent else {}
        if content_type:
            arguments["ContentType"] = content_type
        self.writes += 1
        try:
            self._client.put_object(Bucket=self.bucket, Key=key, Body=data, **arguments)
        except ClientError as error:
            if if_absent and error.response["Error"]["Code"] in _CHANGED:
                raise AlreadyThere(key) from error
            raise

    def put_stream(self, key: str, content_type: str = "application/octet-stream") -> "Upload":
        """A file to write to in a `with` block; the object appears when the block ends well."""
        return Upload(self, self._client, key, content_type)

    def list(self, prefix: str) -> Iterator[str]:
        """All keys that begin with `prefix`, in order."""
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
            self.writes += 1
            for entry in page.get("Contents", []):
                yield entry["Key"]

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; keys that are not there are no error."""
        for batch in batched(keys, 1000, strict=False):
            self._delete([{"Key": key} for key in batch])

    def purge(self, prefix: str, is_doomed: Callable[[str], bool]) -> None:
        """Delete every version of the objects under `prefix` whose keys are doomed: for erasure."""
        for page in self._client.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=prefix):
            self.writes += 1
            doomed = [
                {"Key": entry["Key"], "VersionId": entry["VersionId"]}
                for entry in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
                if is_doomed(entry["Key"])
            ]
            if doomed:
                self._delete(doomed)

    def presign_get(self, key: str, seconds: int = 3600) -> str:
        """A link by which anyone can read the object for a while."""
        arguments = {"Bucket": self.bucket, "Key": key}
        return cast(str, self._client.generate_presigned_url("get_object", Params=arguments, ExpiresIn=seconds))

    def presign_post(self, key: str, max_bytes: int, seconds: int = 3600) -> dict[str, Any]:
        """Address and form fields by which one file of at most `max_bytes` can be uploaded."""
        conditions = [["content-length-range", 0, max_bytes]]
        return cast(
            dict[str, Any],
            self._client.generate_presigned_post(self.bucket, key, Conditions=conditions, ExpiresIn=seconds),
        )

    def _delete(self, objects: Sequence[dict[str, str]]) -> None:
        answer = self._client.delete_objects(Bucket=self.bucket, Delete={"Objects": list(objects), "Quiet": True})
        errors = answer.get("Errors")
        if errors:
            raise TooBusy(
                f"{len(errors)} objects could not be deleted, {errors[0]['Key']!r} first: {errors[0]['Code']}"
            )

    def _call(self, method: str, key: str, **arguments: Any) -> Any:
        self.reads += 1
        try:
            return getattr(self._client, method)(Bucket=self.bucket, Key=key, **arguments)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _MISSING:
                raise NotFound(f"the object {key!r} does not exist in the bucket; was it deleted?") from error
            if code in _CHANGED:
                raise InvalidFile(f"the object {key!r} changed while it was being read; drop it again") from error
            raise


class RangeFile(io.RawIOBase):
    """A read-only, seekable view of an object; every read is one ranged GET."""

    def __init__(self, files: Files, key: str, size: int, etag: str | None) -> None:
        self._files = files
        self._key = key
        self._size = size
        self._etag = etag
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def size(self) -> int:
        return self._size

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        end = self._size if size is None or size < 0 else min(self._size, self._position + size)
        data = self._files.get_range(self._key, self._position, end, self._etag)
        self._position += len(data)
        return data

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class Upload(io.RawIOBase):
    """A multipart upload as a file: at most one part in memory; nothing appears if the block raises."""

    def __init__(self, files: Files, client: Any, key: str, content_type: str) -> None:
        self._files = files
        self._client = client
        self._target = {"Bucket": files.bucket, "Key": key}
        self._content_type = content_type
        self._buffer = bytearray()
        self._upload_id: str | None = None
        self._parts: list[dict[str, Any]] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._written

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self._buffer += view
        self._written += view.nbytes
        while len(self._buffer) >= PART_BYTES:
            self._send(bytes(self._buffer[:PART_BYTES]))
            del self._buffer[:PART_BYTES]
        return view.nbytes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._complete()
        elif self._upload_id:
            self._client.abort_multipart_upload(**self._target, UploadId=self._upload_id)
        super().close()

    def _send(self, part: bytes) -> None:
        if self._upload_id is None:
            self._files.writes += 1
            answer = self._client.create_multipart_upload(**self._target, ContentType=self._content_type)
            self._upload_id = answer["UploadId"]
        self._files.writes += 1
        number = len(self._parts) + 1
        answer = self._client.upload_part(**self._target, UploadId=self._upload_id, PartNumber=number, Body=part)
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"]})

    def _complete(self) -> None:
        self._files.writes += 1
        if self._upload_id is None:
            self._client.put_object(**self._target, Body=bytes(self._buffer), ContentType=self._content_type)
            return
        if self._buffer:
            self._send(bytes(self._buffer))
        self._client.complete_multipart_upload(
            **self._target, UploadId=self._upload_id, MultipartUpload={"Parts": self._parts}
        )
