"""The server of the page: who gets an answer, and to what."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.results.page_content import PageContent
from pipeline.results.page_server import PageServer
from pipeline.results.result import open_result

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def server(scene: Path) -> Iterator[PageServer]:
    """Give a server at work."""
    with PageServer(PageContent(open_result(scene / "out.zarr")), 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(
    server: PageServer, path: str = "", method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Return the status, the headers and the body of an answer; a path begins behind the secret."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    try:
        address = path if path.startswith("/") else server.prefix + path
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, address, body=body, headers=named)
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), answer.read()
    finally:
        connection.close()


def test_the_page_is_on_loopback_only(server: PageServer) -> None:
    """The socket is bound to 127.0.0.1: no other address of this machine is listened on."""
    assert server.socket.getsockname() == ("127.0.0.1", server.server_port)
    assert server.url == f"http://127.0.0.1:{server.server_port}{server.prefix}"
    with socket.socket() as other, pytest.raises(ConnectionRefusedError):
        # All of 127.0.0.0/8 is this machine.
        other.connect(("127.0.0.2", server.server_port))


def test_the_page_is_answered(server: PageServer) -> None:
    """The page and its facts come with headers that let it ask nobody else."""
    status, headers, body = ask(server)
    assert status == 200
    assert body.startswith(b"<!DOCTYPE html>")
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self' 'sha256-")
    assert not [word for word in ("http", "*", "unsafe", "data:", "blob:") if word in policy]
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in headers
    status, headers, body = ask(server, "info.json", Host=f"localhost:{server.server_port}")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(body)["title"] == "out.zarr"


def test_head_has_no_body(server: PageServer) -> None:
    """HEAD has the headers of GET."""
    status, headers, body = ask(server, "tiles/0/0/0_0.png", "HEAD")
    assert (status, body) == (200, b"")
    assert headers["Content-Length"] == str(len(ask(server, "tiles/0/0/0_0.png")[2]))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "MKCOL"])
def test_nothing_is_written(server: PageServer, method: str) -> None:
    """Any method but GET and HEAD is refused."""
    status, headers, body = ask(server, "info.json", method, b"x")
    assert (status, headers["Allow"], headers["Connection"]) == (405, "GET, HEAD", "close")
    assert body == f"{method} isn't possible: the page is read-only\n".encode()


def test_a_body_is_refused(server: PageServer) -> None:
    """A request that brings something isn't one of the page."""
    assert ask(server, "info.json", body=b"x")[0] == 400
    assert ask(server, "info.json", Transfer_Encoding="chunked")[0] == 400


@pytest.mark.parametrize(
    "host", ["example.org", "example.org:{port}", "127.0.0.1", "127.0.0.1:1", "[::1]:{port}", ""]
)
def test_other_hosts_are_refused(server: PageServer, host: str) -> None:
    """A name that another site has pointed at this machine gets nothing."""
    status, _, body = ask(server, "info.json", Host=host.format(port=server.server_port))
    assert (status, body) == (403, f"wanted the host 127.0.0.1:{server.server_port}\n".encode())


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://example.org"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"},
        {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "cors"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"},
    ],
)
def test_other_pages_are_refused(server: PageServer, headers: dict[str, str]) -> None:
    """A page from elsewhere reads and embeds nothing of this one, even if it knows the address."""
    status, _, body = ask(server, "tiles/image/0/0_0.png", **headers)
    assert (status, body) == (403, b"this page answers no other page\n")


def test_the_page_itself_may_be_opened_from_elsewhere(server: PageServer) -> None:
    """A link in a notebook, or its frame, opens the page, whose own requests are answered."""
    assert ask(server, "", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")[0] == 200
    assert ask(server, "", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors")[0] == 403
    assert (
        ask(server, "info.json", Sec_Fetch_Site="same-origin", Origin=server.url[: -len(server.prefix)])[0]
        == 200
    )
    assert ask(server, "info.json", Sec_Fetch_Site="none")[0] == 200


@pytest.mark.parametrize("path", ["/", "/info.json", "//", "/wrong-secret/info.json", "/%C3%A9/"])
def test_who_does_not_know_the_address_gets_nothing(server: PageServer, path: str) -> None:
    """Another user of this machine who finds the port doesn't know the secret."""
    assert ask(server, path)[::2] == (404, b"there is nothing at this address\n")


@pytest.mark.parametrize(
    "path",
    [
        "../" * 8 + "etc/passwd",
        "%2e%2e/%2e%2e/etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "....//....//etc/passwd",
        "..\\..\\viewer.py",
        "/etc/passwd",
        "file:///etc/passwd",
        "page.js%00",
        "tiles/../page.js",
        "tiles/image/0/..%2f0_0.png",
    ],
)
def test_paths_lead_nowhere(server: PageServer, path: str) -> None:
    """No path of the disk is made of a request."""
    if path.startswith("/"):
        path = server.prefix + path
    assert ask(server, path)[0] == 404


def test_absurd_requests_get_one_line(server: PageServer) -> None:
    """Tiles that don't exist, ranges that are none and long addresses are refused."""
    assert ask(server, "tiles/0/0/99_0.png")[::2] == (
        404,
        b"level 0 has no tile in column 99 and row 0, counted from 0\n",
    )
    status, _, body = ask(server, "tiles/1/0/0_0.png?low=2&high=1")
    assert (status, body) == (400, b"the range is 2 to 1; wanted two finite numbers, the lower first\n")
    assert ask(server, "tiles/0/0/0_0.png?hide=" + "1," * 5000)[0] == 414


def test_damage_is_said(server: PageServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong while a tile is read is one line, and the server goes on."""

    def fail(*_: Any) -> None:
        raise RuntimeError("bad\nchunk")

    monkeypatch.setattr(server.content, "get", fail)
    assert ask(server, "info.json")[::2] == (500, b"RuntimeError: bad chunk\n")
    monkeypatch.undo()
    assert ask(server, "info.json")[0] == 200


def test_broken_connections(server: PageServer, capfd: pytest.CaptureFixture[str]) -> None:
    """Nonsense and a closed connection are neither printed nor the end of the server."""
    for text in (b"GET /\xc3\xa9 HTTP/1.1\r\n\r\n", b"nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b""):
        with socket.create_connection(("127.0.0.1", server.server_port)) as one:
            one.sendall(text)
    server.handle_error(None, ("127.0.0.1", 1))
    assert ask(server, "info.json")[0] == 200
    assert capfd.readouterr() == ("", "")
