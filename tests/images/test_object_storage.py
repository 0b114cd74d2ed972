"""Objects are read, written, listed and removed on a real server; errors are those of files."""

from __future__ import annotations

import pickle
from typing import Any

import obstore
import pytest
from object_server import SECRET, ObjectServer

from pipeline.images import object_clients, object_storage
from pipeline.images.object_storage import ObjectFolder, is_object_url, locate


@pytest.fixture
def folder(bucket: str) -> ObjectFolder:
    """Give an empty folder of a bucket, whose name is an odd one."""
    return ObjectFolder(f"{bucket}/a b/ü%41")


def test_objects_are_read_back(folder: ObjectFolder) -> None:
    """An object has its content, size and version, and a folder lists its objects and folders in order."""
    assert not folder.is_there("x")
    assert list(folder.names()) == folder.folders() == []
    folder.write("x", [b"12", b"345"])
    folder.write("deep/y z", [b""])
    first = folder.facts("x")
    assert (first.size, folder.read("x"), folder.is_there("x")) == (5, b"12345", True)
    assert folder.read_version("x")[1] == first.version
    assert list(folder.names()) == [("deep/y z", 0), ("x", 5)]
    assert list(folder.names("deep")) == [("deep/y z", 0)]
    assert folder.folders() == ["deep"]
    folder.write("x", [b"6"])
    assert folder.facts("x").version != first.version
    other = folder.folder("other")
    folder.copy("deep/y z", other)
    folder.copy("x", other)
    assert list(other.names()) == [("deep/y z", 0), ("x", 1)]
    folder.remove(["x", "deep/y z", "never there"])
    folder.remove([])
    assert [name for name, _ in folder.names()] == ["other/deep/y z", "other/x"]


def test_the_first_who_asks_wins(folder: ObjectFolder) -> None:
    """A conditional write changes nothing if another was first; a repeated one has succeeded."""
    first = folder.write_if("x", b"1", None, {"run": "a"})
    assert first is not None
    content, version, attributes = folder.read_version("x")
    assert (content, version, attributes["run"]) == (b"1", first, "a")
    assert folder.write_if("x", b"2", None) is None
    assert folder.write_if("x", b"1", None) == first
    second = folder.write_if("x", b"2", first)
    assert second not in {None, first}
    assert folder.write_if("x", b"3", first) is None
    assert folder.write_if("y", b"3", first) is None
    assert folder.read("x") == b"2"


def test_versions_of_servers_that_count(folder: ObjectFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that counts its versions is asked for the number too."""
    modes = []

    def put(*_: Any, mode: Any, **__: Any) -> dict[str, str | None]:
        modes.append(mode)
        return {"e_tag": '"a"', "version": "7" if len(modes) == 1 else None}

    monkeypatch.setattr(object_storage, "ask", put)
    first = folder.write_if("x", b"1", None)
    second = folder.write_if("x", b"2", first)
    folder.write_if("x", b"3", second)
    assert modes == ["create", {"e_tag": '"a"', "version": "7"}, {"e_tag": '"a"'}]


def test_large_objects_are_sent_in_parts(
    folder: ObjectFolder, monkeypatch: pytest.MonkeyPatch, object_server: ObjectServer
) -> None:
    """An object is one request up to a size, and several parts above; one that can't be copied is refused."""
    monkeypatch.setattr(object_storage, "_WHOLE", 6 * 2**20)
    monkeypatch.setattr(object_storage, "_PART", 5 * 2**20)
    bucket = folder.url.split("/")[2]
    for size, wanted in ((6 * 2**20, ["PUT"]), (6 * 2**20 + 1, ["POST", "POST", "PUT", "PUT"])):
        before = len(object_server.requests(bucket))
        folder.write("x", [bytes(2**20)] * (size // 2**20) + [b"1" * (size % 2**20)])
        assert sorted(method for method, _, _ in object_server.requests(bucket)[before:]) == wanted
        assert folder.facts("x").size == size
    monkeypatch.setattr(object_storage, "LARGEST_COPY", 10)
    with pytest.raises(ValueError, match=r"servers copy at most 5 GiB at once. Choose smaller blocks"):
        folder.write("x", [b"123456", b"789012"])


def test_a_file_is_read_from_any_place(folder: ObjectFolder) -> None:
    """An open object is read as a file is."""
    folder.write("x", [bytes(range(256)) * 100])
    file = folder.open("x", 64)
    file.seek(300)
    assert (bytes(file.read(3)), file.tell()) == (bytes([44, 45, 46]), 303)


def test_what_a_url_is() -> None:
    """URLs of three schemes are those of objects, and the name of an object is behind the last slash."""
    assert all(map(is_object_url, ("s3://b/x", "GS://b", "az://b/y/z")))
    assert not any(map(is_object_url, ("s3:/b/x", "http://b/x", "/s3/b", "s3", None, 3)))
    folder, name = locate("s3://b/a/x.tif")
    assert (folder.url, name) == ("s3://b/a", "x.tif")
    assert locate("s3://b/x.tif")[0].url == ObjectFolder("S3://b/").url == "s3://b"
    assert repr(folder) == "ObjectFolder('s3://b/a')"
    with pytest.raises(ValueError, match=r"^s3://b is a bucket; wanted a URL like s3://bucket/folder/slide"):
        locate("s3://b")
    with pytest.raises(ValueError, match=r"s3:///x names no bucket; wanted a URL like s3://bucket/"):
        ObjectFolder("s3:///x")
    for url in ("s3://b/a/../x", "s3://b/./x", "s3://b/a//x", "s3://b/.."):
        with pytest.raises(ValueError, match=r" has an empty part, a dot or two dots between slashes"):
            ObjectFolder(url)
    for url in ("s3://key:hush@b/x", "s3://b/x?token=hush", "s3://b/x#hush"):
        with pytest.raises(ValueError, match=r"^s3://b/x was given with credentials or a query") as error:
            ObjectFolder(url)
        assert "hush" not in str(error.value)


def test_errors_are_those_of_files(
    folder: ObjectFolder, monkeypatch: pytest.MonkeyPatch, object_server: ObjectServer
) -> None:
    """What is missing or refused is named by its URL, and nothing else is told."""
    for ask in (folder.read, folder.facts, lambda path: folder.open(path, 9)):
        with pytest.raises(FileNotFoundError, match=r"^s3://bucket-\w+/a b/ü%41/x doesn't exist$"):
            ask("x")
    nowhere = ObjectFolder("s3://nowhere-at-all/y")
    with pytest.raises(
        FileNotFoundError, match=r"^s3://nowhere-at-all/y/x: there is no such bucket. Make it"
    ):
        nowhere.write("x", [b"1"])
    with pytest.raises(FileNotFoundError, match="there is no such bucket"):
        list(nowhere.names())
    monkeypatch.setattr(object_clients, "_RETRIES", 0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", object_server.url.replace("//", "//u:hush@")[:-2] + "9")
    with pytest.raises(OSError, match=r"^s3://\S+ b/ü%41/x can't be read or written: ") as error:
        folder.read("x")
    assert "hush" not in str(error.value)
    assert error.value.__suppress_context__


@pytest.mark.parametrize(
    ("raised", "error", "message"),
    [
        (
            obstore.exceptions.PermissionDeniedError("x <Code>AccessDenied</Code> y\n\nDebug source:\nhush"),
            PermissionError,
            r"/x: its server refuses access \(AccessDenied\)\. Check the credentials: for S3, AWS_ACC",
        ),
        (
            obstore.exceptions.UnauthenticatedError("hush"),
            PermissionError,
            "/x: its server refuses access. C",
        ),
        (
            obstore.exceptions.GenericError("hush: <Code>SlowDown</Code><Message>Reduce.\n</Message>hush"),
            OSError,
            r"/x: its server said SlowDown: Reduce\.$",
        ),
        (
            obstore.exceptions.GenericError(
                "hush - HTTP error at http://u:hush@host:9/x\n\nDebug source: hush"
            ),
            OSError,
            r"/x can't be read or written: HTTP error at its address$",
        ),
        (
            obstore.exceptions.GenericError("501 <Code>NotImplemented</Code><Message>A header.</Message>"),
            OSError,
            r"/x: its server can't do what results in object storage need, which are conditional puts",
        ),
        (ModuleNotFoundError("obstore"), ImportError, r"pip install 'mixture-pipeline\[s3\]'"),
    ],
)
def test_errors_of_servers(
    folder: ObjectFolder,
    monkeypatch: pytest.MonkeyPatch,
    raised: Exception,
    error: type[Exception],
    message: str,
) -> None:
    """The reason that a server tells is told, without what may hold secrets."""

    def refuse(*_: Any, **__: Any) -> None:
        raise raised

    monkeypatch.setattr(object_storage, "ask", refuse)
    for ask in (folder.read, folder.is_there, lambda _: list(folder.names())):
        with pytest.raises(error) as found:
            ask("x")
        assert "hush" not in str(found.value)
    with pytest.raises(error, match=message):
        folder.read("x")


def test_nothing_that_is_pickled_or_shown_holds_credentials(folder: ObjectFolder) -> None:
    """A folder travels as its URL."""
    folder.write("x", [b"1"])
    content = pickle.dumps(folder)
    assert pickle.loads(content).read("x") == b"1"  # noqa: S301  made above
    assert len(content) < 300
    store = folder.zarr_store()
    for text in (
        content,
        pickle.dumps(store),
        repr(folder).encode(),
        repr(store).encode(),
        str(store).encode(),
    ):
        assert SECRET.encode() not in text
