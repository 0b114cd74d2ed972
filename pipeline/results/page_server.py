"""The server of the page: on loopback only, for one page, read-only."""

from __future__ import annotations

import hmac
import logging
import os
import secrets
import socketserver
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.results.page_content import PageContent

_log = logging.getLogger(__name__)
_LOOPBACK = "127.0.0.1"
_TOKEN_BYTES = 16
_LONGEST_PATH = 8192
# A connection that is silent for so many seconds is closed.
_PATIENCE = 60.0
# The hash of the one style that OpenSeadragon adds to a page, for touch screens.
_STYLE = "'sha256-9xTiqzfwFaL2SGb1rmr8gysEwVVjIvqWAgmZgqFqpEE='"
# The page asks for nothing but what this server has. Notebooks may show it in a frame.
_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; script-src 'self'; style-src 'self' {_STYLE}; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class PageServer(ThreadingHTTPServer):
    """An HTTP server on 127.0.0.1 for one page, whose address has a secret that other users don't know.

    Parameters
    ----------
    content : PageContent
    port : int
        0 is any free port.

    Raises
    ------
    OSError
        If the port is taken.
    """

    daemon_threads = True
    # On Windows another program could take the port over otherwise.
    allow_reuse_address = os.name != "nt"

    def __init__(self, content: PageContent, port: int) -> None:
        self.content = content
        self.prefix = f"/{secrets.token_urlsafe(_TOKEN_BYTES)}/"
        super().__init__((_LOOPBACK, port), _Handler)
        self.hosts = tuple(f"{name}:{self.server_port}" for name in (_LOOPBACK, "localhost"))

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{self.hosts[0]}{self.prefix}"

    def server_bind(self) -> None:
        """Bind to the port, without asking a name server for the name of this machine."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = _LOOPBACK, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  as socketserver declares it
        """Log what went wrong with a connection, such as a browser that closed it."""
        del request
        _log.debug("connection from %s: %s", client_address, sys.exc_info()[1])


class _Refusal(Exception):  # noqa: N818  an answer rather than an error
    """A request that gets a status and one line."""

    def __init__(self, status: HTTPStatus, line: str) -> None:
        super().__init__(line)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    server: PageServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "mixture-pipeline", ""
    timeout = _PATIENCE

    def do_GET(self) -> None:
        """Answer with the content of the address."""
        self._answer()

    def do_HEAD(self) -> None:
        """Answer as to GET, without the content."""
        self._answer()

    def __getattr__(self, name: str) -> Callable[[], None]:
        # Any other method, for which http.server looks by this name, would be answered as unknown.
        if name.startswith("do_"):
            return self._refuse_method
        raise AttributeError(name)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as http.server declares it
        """Log a request."""
        _log.debug(format, *args)

    def _refuse_method(self) -> None:
        self._fail(HTTPStatus.METHOD_NOT_ALLOWED, f"{self.command:.20} isn't possible: the page is read-only")

    def _answer(self) -> None:
        try:
            self._check()
            path, _, query = self.path[len(self.server.prefix) :].partition("?")
            content = self.server.content.get(path, query)
        except _Refusal as refusal:
            self._fail(refusal.status, str(refusal))
        except LookupError as error:
            self._fail(HTTPStatus.NOT_FOUND, str(error.args[0]))
        except ValueError as error:
            self._fail(HTTPStatus.BAD_REQUEST, str(error))
        except Exception as error:  # noqa: BLE001  a damaged file makes its reader raise any exception
            _log.warning("%s: %s: %s", self.server.content.title, type(error).__name__, error)
            self._fail(HTTPStatus.INTERNAL_SERVER_ERROR, f"{type(error).__name__}: {error}")
        else:
            self._send(HTTPStatus.OK, content.kind, content.body)

    def _check(self) -> None:
        """Raise _Refusal unless the request is one of the page, or of who opens it."""
        headers, server = self.headers, self.server
        if headers.get_all("Host", []) not in [[host] for host in server.hosts]:
            raise _Refusal(HTTPStatus.FORBIDDEN, f"wanted the host {server.hosts[0]}")
        if len(self.path) > _LONGEST_PATH:
            raise _Refusal(HTTPStatus.REQUEST_URI_TOO_LONG, "the address is too long")
        if headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in headers:
            raise _Refusal(HTTPStatus.BAD_REQUEST, "the request has a body; wanted none")
        origin = headers.get("Origin")
        if origin is not None and origin not in {f"http://{host}" for host in server.hosts}:
            raise _Refusal(HTTPStatus.FORBIDDEN, "this page answers no other page")
        begin = self.path[: len(server.prefix)].encode("latin-1", "replace")
        if not hmac.compare_digest(begin, server.prefix.encode()):
            raise _Refusal(HTTPStatus.NOT_FOUND, "there is nothing at this address")
        # A link to the page, and a notebook that shows it in a frame, come from elsewhere.
        is_opening = self.path == server.prefix and headers.get("Sec-Fetch-Mode") == "navigate"
        if headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"} and not is_opening:
            raise _Refusal(HTTPStatus.FORBIDDEN, "this page answers no other page")

    def _fail(self, status: HTTPStatus, line: str) -> None:
        """Answer with a status and one line, and close the connection, whose body wasn't read."""
        self.close_connection = True
        self._send(status, "text/plain; charset=utf-8", f"{' '.join(line.split())}\n".encode())

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
