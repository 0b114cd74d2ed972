"""A real server of S3 on loopback, in a process of its own."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from contextlib import AbstractContextManager, suppress
from http.client import HTTPConnection
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    from pathlib import Path

KEY = "AKIDENTITYOFTESTS"
SECRET = "hush-0123456789-hush"  # noqa: S105  of a server on loopback


class ObjectServer(AbstractContextManager["ObjectServer"]):
    """A server of buckets in memory, which writes each request into a file."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self._port = found.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self._log = folder / "requests.log"
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._port)]
        # It would look for profiles of the user.
        environment = {**os.environ, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        for _ in range(600):
            with suppress(OSError):
                self._ask("GET", "")
                return
            time.sleep(0.05)
        raise RuntimeError(self._log.read_text())

    def _ask(self, method: str, path: str) -> None:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=10)
        connection.request(method, f"/{path}", body=b"")
        assert connection.getresponse().status == 200
        connection.close()

    def __exit__(self, *_: object) -> None:
        """Stop the server."""
        self._process.kill()
        self._process.wait()

    @property
    def variables(self) -> dict[str, str]:
        """The variables of the environment with which clients find the server."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            # Other clients than ours want to hear that the address is meant.
            "AWS_ALLOW_HTTP": "true",
        }

    def make_bucket(self, name: str | None = None) -> str:
        """Make a bucket, by default with a name of its own, and return its URL."""
        name = name or f"bucket-{uuid4().hex}"
        self._ask("PUT", name)
        return f"s3://{name}"

    def requests(self, bucket: str) -> list[tuple[str, str, int]]:
        """Return the method, the path in the bucket, and the status of each request so far."""
        name = bucket.removeprefix("s3://")
        found = re.findall(rf'"[^"]*?([A-Z]+) /{name}/?(\S*) HTTP[^"]*" (\d+)', self._log.read_text())
        return [(method, path, int(status)) for method, path, status in found]
