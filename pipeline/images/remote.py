"""Files behind URLs: read by ranges, and told apart by what their server says.

Cloud storage is read by obstore (:mod:`pipeline.images.object_storage`), other URLs by fsspec. So are those
of cloud storage if obstore isn't installed, or if fsspec's configuration says something about their scheme.

Credentials come from the places where these libraries look for them, or stand in the URL. Those in the URL
are used for reading, and are never shown or recorded.
"""

from __future__ import annotations

import hashlib
import io
import re
from contextlib import contextmanager, suppress
from functools import partial
from http import HTTPStatus
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit
from urllib.request import url2pathname

from pipeline.images import object_storage
from pipeline.images.object_clients import url_of_store
from pipeline.images.object_storage import MISSING, ObjectFolder, is_object_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import Self

    import zarr

    from pipeline.images.source import Source

# The end of a name of a directory that holds Zarr arrays, behind which their names may follow.
_ZARR = re.compile(r"\.zarr(?=/|\Z)")
# A scheme has two letters or more: one letter is a drive.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
# A Path has a single slash where the URL had two.
_CUT_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/[^/]")
# Parameters that sign a URL, or hold a key; a shared access signature of Azure consists of short names.
_SECRET = re.compile(
    r"sig\Z|x-(?:amz|goog)-|.*(?:auth|credential|key|password|secret|signature|token)", re.IGNORECASE
)
# Measured: reading ahead by so many bytes transfers hardly more than the tiles, with few requests.
_READ_AHEAD = 2**16
# What a server says of a file's version, and the time of a file in other file systems.
_VERSION = ("ETag", "Content-MD5", "Digest", "Last-Modified", "LastModified", "mtime", "updated", "created")


class RemotePath(str):
    """A URL without its secrets, as text that may be shown and recorded.

    Attributes
    ----------
    url : str
        The URL as it was given, with which the file is read.
    """

    __slots__ = ("url",)

    url: str

    def __new__(cls, url: str) -> Self:
        """Make the text of a URL."""
        path = super().__new__(cls, without_secrets(url))
        path.url = url
        return path

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        return type(self), (self.url,)


def is_url(path: object) -> bool:
    """Return whether a path is a URL."""
    return isinstance(path, str) and _URL.match(path) is not None


def url_of_path(path: str) -> str | None:
    """Return the URL that a path was, which has lost a slash, without its secrets; None if it was none."""
    return without_secrets(path.replace(":/", "://", 1)) if _CUT_URL.match(path) else None


def as_local(url: str) -> str | None:
    """Return the path of a URL that names a local file, or None if it names another one."""
    parts = urlsplit(url)
    is_local = parts.scheme.lower() in {"file", "local"} and parts.netloc in {"", "localhost"}
    return url2pathname(parts.path) if is_local else None


def places_of(sources: Sequence[Source]) -> list[Path | str]:
    """Return the files and directories that sources read, and the URLs of those in object storage."""
    urls = [source.name for source in sources if is_object_url(source.name)]
    return [*(path for source in sources for path in source.paths), *urls]


def without_secrets(url: str) -> str:
    """Return a URL without user and password, and without a query that signs it or holds a key."""
    parts = urlsplit(url)
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    query = "" if any(map(_SECRET.match, names)) else parts.query
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=query))


def remote_stamp(path: str) -> tuple[int, int]:
    """Return a number for the version of a remote file, which its server tells, and its size.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImportError
        If the library for such URLs is missing.
    OSError
        If the server can't be reached, or doesn't say how large the file is.
    """
    if _is_object(path):
        with _told_of_object(path):
            folder, name = object_storage.locate(_url_of(path))
            found = folder.facts(name)
        return _number_of([found.version, found.modified]), found.size
    with _told(path):
        system, place = _locate(path)
        facts = system.info(place)
        if facts.get("type") == "directory":
            raise FileNotFoundError(place)
    if facts.get("size") is None:
        raise OSError(f"{path}: its server doesn't say how large it is. Download it, and open the copy.")
    version = [f"{name} {facts[name]}" for name in _VERSION if facts.get(name)]
    return _number_of(version), int(facts["size"])


def open_remote(path: str) -> io.RawIOBase:
    """Open a remote file, of which reading transfers little more than the bytes that are read.

    Raises
    ------
    ValueError
        If its server can't send parts of it.
    FileNotFoundError, ImportError, OSError
        As for :func:`remote_stamp`.
    """
    if _is_object(path):
        with _told_of_object(path):
            folder, name = object_storage.locate(_url_of(path))
            file = folder.open(name, _READ_AHEAD)
        return _RemoteFile(partial(object_storage.told, path, ""), file)
    with _told(path):
        system, place = _locate(path)
        file = system.open(place, "rb", block_size=_READ_AHEAD, cache_type="readahead")
    if not file.seekable():
        raise _no_ranges(path)
    return _RemoteFile(partial(_told, path), file)


def open_remote_zarr(path: str) -> zarr.Array[Any] | zarr.Group | None:
    """Open a remote Zarr array or group, or return None if there is none."""
    import zarr  # noqa: PLC0415  which costs time, and only remote arrays need here

    if urlsplit(_url_of(path)).query:
        # The names of its files can't stand behind a query.
        return None
    with _told_of_object(path) if _is_object(path) else _told(path):
        # The store begins with the outermost group, which may say what the axes of an array in it are.
        url = _url_of(path)
        found = _ZARR.search(url)
        end = found.end() if found else len(url)
        store: Any
        if _is_object(path):
            store = ObjectFolder(url[:end]).zarr_store()
        else:
            _locate(path)
            store = zarr.storage.FsspecStore.from_url(url[:end], read_only=True)
        # Zarr's warning about metadata of both formats would show the URL with its secrets.
        for zarr_format in (3, 2):
            for open_node in (zarr.open_array, zarr.open_group):
                with suppress(ValueError, FileNotFoundError):
                    return open_node(store, path=url[end:].strip("/"), mode="r", zarr_format=zarr_format)
    return None


class _RemoteFile(io.RawIOBase):
    """A remote file whose errors name it, and don't say that it is damaged."""

    def __init__(
        self,
        told: Callable[[], AbstractContextManager[None]],
        file: Any,  # noqa: ANN401  fsspec's or obstore's
    ) -> None:
        self._told, self._file = told, file

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Read bytes, all that are left by default."""
        with self._told():
            return bytes(self._file.read(size) if size >= 0 else self._file.read())

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  a writable buffer
        """Read bytes into a buffer, and return their number."""
        view = memoryview(buffer).cast("B")
        content = self.read(len(view))
        view[: len(content)] = content
        return len(content)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place in the file."""
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        """Return the place in the file."""
        return int(self._file.tell())

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def _url_of(path: str) -> str:
    return path.url if isinstance(path, RemotePath) else path


def _is_object(path: str) -> bool:
    """Return whether a URL is read by obstore."""
    url = _url_of(path)
    if not is_object_url(url) or find_spec("obstore") is None:
        return False
    from fsspec.config import conf  # noqa: PLC0415  readers are imported where they are used

    return urlsplit(url).scheme.lower() not in conf


def _number_of(version: list[str]) -> int:
    return int.from_bytes(hashlib.sha256("\n".join(version).encode()).digest()[:8], "big")


@contextmanager
def _told_of_object(path: str) -> Iterator[None]:
    """Say of an object that isn't there what was wanted; all else is said already."""
    try:
        yield
    except FileNotFoundError as error:
        if "no such bucket" in str(error):
            raise
        missing = _missing(path)
    else:
        return
    raise missing


def _missing(path: str) -> FileNotFoundError:
    return FileNotFoundError(f"{path} is not there; wanted an image file or a Zarr array")


def _locate(path: str) -> tuple[Any, str]:
    """Return fsspec's file system of a URL, and the place in it."""
    from fsspec.core import url_to_fs  # noqa: PLC0415  readers are imported where they are used

    return url_to_fs(_url_of(path))  # type: ignore[no-any-return]


@contextmanager
def _told(path: str) -> Iterator[None]:
    """Turn the exceptions of fsspec's file systems into ones that name the file, without its secrets."""
    reason: Exception
    try:
        yield
    except ImportError as error:
        is_http = path.startswith("http")
        remedy = "pip install 'mixture-pipeline[remote]'" if is_http else str(error)
        missing = MISSING if is_object_url(path) else f"its library is missing. Install it: {remedy}"
        reason = ImportError(f"{path} can't be read: {missing}")
    except FileNotFoundError as error:
        # fsspec raises it for any failure of HTTP, with the failure as its cause.
        reason = _reason(path, error.__cause__ or error)
    except Exception as error:  # noqa: BLE001  each file system has exceptions of its own
        reason = _reason(path, error)
    else:
        return
    # The exceptions above may hold the URL with its secrets.
    raise reason from None


def _reason(path: str, error: BaseException) -> Exception:
    """Return the exception for one of a file system."""
    text = str(error)
    if "range requests" in text or "more data than requested" in text.lower():
        return _no_ranges(path)
    if "Protocol not known" in text:
        return ValueError(f"{path} is a URL that fsspec doesn't know. Download it, and open the copy.")
    status = getattr(error, "status", None)
    if status == HTTPStatus.NOT_FOUND or isinstance(error, FileNotFoundError):
        return _missing(path)
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN} or isinstance(error, PermissionError):
        return PermissionError(
            f"{path}: its server refuses to send it. Give fsspec the credentials, or pass the image by "
            "a URL that holds them."
        )
    if isinstance(error, TimeoutError):
        return TimeoutError(f"{path} can't be read: its server doesn't answer in time")
    said = f"status {status}" if status else text.replace(_url_of(path), path) or type(error).__name__
    return OSError(f"{path} can't be read: {said}")


def _no_ranges(path: str) -> ValueError:
    return ValueError(f"{path}: its server can't send parts of a file. Download it, and open the copy.")


def address_of(node: zarr.Array[Any] | zarr.Group) -> str | None:
    """Return the URL of a remote Zarr array or group, without secrets, or None if it isn't a remote one."""
    url = url_of_zarr(node.store)
    return None if url is None or url.startswith("memory:") else f"{url}/{node.path}".rstrip("/")


def url_of_zarr(store: object) -> str | None:
    """Return the URL of a store of Zarr, without secrets, or None if it has none."""
    import zarr  # noqa: PLC0415  as above

    if isinstance(store, zarr.storage.ObjectStore):
        return url_of_store(store.store)
    if not isinstance(store, zarr.storage.FsspecStore):
        return None
    system = getattr(store.fs, "sync_fs", store.fs)
    return without_secrets(str(system.unstrip_protocol(store.path)).rstrip("/"))
