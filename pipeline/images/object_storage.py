"""Objects in cloud storage behind URLs such as ``s3://bucket/name``, by the library obstore, an extra.

A folder of objects is known by its URL alone, so that it can be sent to other processes.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pipeline.images.object_clients import connect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from zarr.storage import ObjectStore

# The schemes of S3, Google Cloud Storage and Azure Blob Storage.
SCHEMES = frozenset({"s3", "gs", "az"})
MISSING = "object storage needs obstore: pip install 'mixture-pipeline[s3]'"
# A larger object is written in several parts of the second size.
_WHOLE, _PART = 64 * 2**20, 16 * 2**20
# S3 copies no larger object at once.
LARGEST_COPY = 5 * 2**30


def locate(url: str) -> tuple[ObjectFolder, str]:
    """Return the folder of an object, and its name there; raises ValueError if the URL names none."""
    folder, _, name = url.rpartition("/")
    if folder.endswith(":/"):
        raise ValueError(
            f"{ObjectFolder(url).url} is a bucket; wanted a URL like s3://bucket/folder/slide.tif"
        )
    return ObjectFolder(folder), name


def is_object_url(path: object) -> bool:
    """Return whether a path is the URL of objects in cloud storage."""
    return isinstance(path, str) and urlsplit(path).scheme.lower() in SCHEMES and "://" in path


@dataclass(frozen=True)
class Facts:
    """What a server says of an object.

    Attributes
    ----------
    size : int
        Its size in bytes.
    version : str
        A text that is another one for another content.
    modified : str
        When it was written.
    """

    size: int
    version: str
    modified: str


class ObjectFolder:
    """The objects whose names begin with the same text and a slash.

    All methods raise FileNotFoundError for an object or a bucket that isn't there, PermissionError if the
    server refuses, ImportError without obstore, and OSError if the server fails or can't be reached.

    Parameters
    ----------
    url : str
        Such as ``s3://bucket/folder``.

    Raises
    ------
    ValueError
        If the URL has no bucket, holds credentials or a query, or has an empty part or dots between slashes.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError(
                f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path} was given with credentials "
                "or a query; wanted a URL like s3://bucket/folder/out.zarr. Credentials come from the "
                "environment or the files of your cloud's tools."
            )
        if not parts.netloc:
            raise ValueError(f"{url} names no bucket; wanted a URL like s3://bucket/folder/out.zarr")
        self._bucket = f"{parts.scheme.lower()}://{parts.netloc}"
        self._prefix = parts.path.strip("/")
        if self._prefix and {"", ".", ".."} & set(self._prefix.split("/")):
            raise ValueError(
                f"{url} has an empty part, a dot or two dots between slashes, which object storage takes for "
                "names; wanted a URL like s3://bucket/folder/out.zarr"
            )

    @property
    def url(self) -> str:
        """The URL, without a slash at its end."""
        return f"{self._bucket}/{self._prefix}".rstrip("/")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def folder(self, path: str) -> ObjectFolder:
        """Return a folder in this one."""
        return ObjectFolder(f"{self.url}/{path}")

    def read(self, path: str) -> bytes:
        """Read an object."""
        return self.read_version(path)[0]

    def read_version(self, path: str) -> tuple[bytes, str, dict[str, str]]:
        """Read an object, its version, and the attributes that it was written with."""
        result = self._ask("get", path)
        with told(self.url, path):
            return bytes(result.bytes()), _version_of(result.meta), dict(result.attributes)

    def facts(self, path: str) -> Facts:
        """Return what the server says of an object."""
        meta = self._ask("head", path)
        return Facts(int(meta["size"]), _version_of(meta), meta["last_modified"].isoformat())

    def is_there(self, path: str) -> bool:
        """Return whether there is such an object."""
        try:
            self.facts(path)
        except FileNotFoundError:
            return False
        return True

    def open(self, path: str, read_ahead: int) -> Any:  # noqa: ANN401  obstore's file
        """Open an object as a file that reads at least so many bytes at once."""
        return self._ask("open_reader", path, buffer_size=read_ahead)

    def write(self, path: str, content: Sequence[bytes], attributes: dict[str, str] | None = None) -> None:
        """Write an object, of which nothing is seen until it is whole.

        Raises
        ------
        ValueError
            If it is so large that no server copies it at once.
        """
        size = sum(map(len, content))
        if size > LARGEST_COPY:
            raise ValueError(
                f"{self.url}/{path} would have {size / 2**30:.1f} GiB, and servers copy at most 5 GiB at "
                "once. Choose smaller blocks."
            )
        options = {"use_multipart": size > _WHOLE, "chunk_size": _PART, "attributes": attributes}
        self._ask("put", path, b"".join(content) if size <= _WHOLE else list(content), **options)

    def write_if(
        self, path: str, content: bytes, version: str | None, attributes: dict[str, str] | None = None
    ) -> str | None:
        """Write an object if it still has a version, or if it isn't there: the first who asks wins.

        Parameters
        ----------
        path : str
        content : bytes
            No other process writes the same content.
        version : str or None
            None if there must be no such object.
        attributes : dict of str to str, optional
            What :meth:`read_version` returns with the object.

        Returns
        -------
        str or None
            The new version, or None if the object has another version or is there.
        """
        from obstore import exceptions  # noqa: PLC0415  an extra

        mode = "create" if version is None else _condition_of(version)
        try:
            result = self._ask("put", path, content, mode=mode, attributes=attributes)
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
            # The answer to the first request may have been lost, and the request was repeated.
            try:
                found, found_version, _ = self.read_version(path)
            except FileNotFoundError:
                return None
            return found_version if found == content else None
        return _version_of(result)

    def names(self, path: str = "") -> Iterator[tuple[str, int]]:
        """Yield the name of each object in the folder, or in one in it, and its size, in alphabetic order."""
        prefix = "/".join(filter(None, (self._prefix, path)))
        start = len(self._prefix) + 1 if self._prefix else 0
        listed = iter(self._ask_bucket("list", f"{prefix}/" if prefix else None))
        while True:
            with told(self.url, path):
                chunk = next(listed, ())
            if not chunk:
                return
            for meta in chunk:
                yield str(meta["path"])[start:], int(meta["size"])

    def folders(self) -> list[str]:
        """Return the names of the folders in this one."""
        listed = self._ask_bucket("list_with_delimiter", f"{self._prefix}/" if self._prefix else None)
        return [str(path).rstrip("/").rpartition("/")[2] for path in listed["common_prefixes"]]

    def remove(self, paths: Sequence[str]) -> None:
        """Remove objects, many with one request; those that aren't there are passed over."""
        if paths:
            self._ask_bucket("delete", [self._name(path) for path in paths])

    def copy(self, path: str, target: ObjectFolder) -> None:
        """Copy an object to the same path in another folder of the bucket, within the server."""
        self._ask("copy", path, target._name(path))

    def zarr_store(self) -> ObjectStore[Any]:
        """Return the folder as a store of Zarr, for reading."""
        from pipeline.images.object_zarr import ReadStore  # noqa: PLC0415  Zarr costs time, and only here

        with told(self.url, ""):
            return ReadStore(connect(self._bucket, self._prefix), read_only=True)

    def _name(self, path: str) -> str:
        return "/".join(filter(None, (self._prefix, path)))

    def _client(self) -> Any:  # noqa: ANN401  one of obstore's stores
        return connect(self._bucket)

    def _ask(self, function: str, path: str, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401  as obstore
        with told(self.url, path):
            return ask(function, self._client(), self._name(path), *arguments, **options)

    def _ask_bucket(self, function: str, *arguments: Any) -> Any:  # noqa: ANN401  as obstore
        with told(self.url, ""):
            return ask(function, self._client(), *arguments)


def ask(function: str, client: Any, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401  as obstore
    """Call a function of obstore: every request of this package but those of Zarr goes this way."""
    import obstore  # noqa: PLC0415  an extra

    return getattr(obstore, function)(client, *arguments, **options)


def _version_of(facts: Any) -> str:  # noqa: ANN401  obstore's mappings of several types
    """Return the version of an object: servers know it by a tag of its content, a number, or both."""
    return " ".join(str(facts[key]) for key in ("e_tag", "version") if facts[key])


def _condition_of(version: str) -> dict[str, str]:
    tag, _, number = version.partition(" ")
    return {"e_tag": tag, **({"version": number} if number else {})}


@contextmanager
def told(url: str, path: str) -> Iterator[None]:
    """Turn the exceptions of obstore into built-in ones that name an object of a folder, without secrets."""
    reason: Exception
    try:
        yield
    except ImportError:
        reason = ImportError(f"{url}: {MISSING}")
    except Exception as error:
        if type(error).__name__ in {"AlreadyExistsError", "PreconditionError"}:
            raise
        reason = _reason("/".join(filter(None, (url, path))), error)
    else:
        return
    # The exceptions above may hold the address of a server with its secrets.
    raise reason from None


def _reason(url: str, error: Exception) -> Exception:
    """Return the exception for one of obstore."""
    text = str(error).partition("\n\nDebug source")[0]
    code, said = (re.search(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL) for tag in ("Code", "Message"))
    if code and code[1] == "NoSuchBucket":
        return FileNotFoundError(f"{url}: there is no such bucket. Make it, or choose another one.")
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(f"{url} doesn't exist")
    kind = type(error).__name__
    if kind in {"PermissionDeniedError", "UnauthenticatedError"}:
        return PermissionError(
            f"{url}: its server refuses access{f' ({code[1]})' if code else ''}. Check the credentials: for "
            "S3, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
        )
    if code and code[1] == "NotImplemented":
        return OSError(
            f"{url}: its server can't do what results in object storage need, which are conditional puts "
            "(If-None-Match, If-Match). Write to a local directory, and copy it."
        )
    if code and said:
        return OSError(f"{url}: its server said {code[1]}: {said[1].strip()[:200]}")
    # Behind the last dash is the reason, before it the request and its address.
    rest = re.sub(r"https?://\S*", "its address", text.rpartition(" - ")[2].strip())
    return OSError(f"{url} can't be read or written: {rest[:200] or kind}")
