"""The command in processes that may be killed, forked from one that has everything imported."""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


class Running:
    """A command at work."""

    def __init__(self, server: subprocess.Popen[str], folder: Path, arguments: tuple[str, ...]) -> None:
        assert server.stdout
        self._server, self._folder, self._arguments = server, folder, arguments
        self.pid = int(server.stdout.readline())
        self.is_waited_for = False

    def end(self, number: int) -> None:
        """Send a signal; the process is there until its status is asked for."""
        os.kill(self.pid, number)

    def wait(self) -> subprocess.CompletedProcess[str]:
        """Give its status, negative for a signal, and what it said."""
        assert self._server.stdin
        assert self._server.stdout
        self.is_waited_for = True
        self._server.stdin.write("wait\n")
        self._server.stdin.flush()
        status = int(self._server.stdout.readline())
        said = [(self._folder / name).read_text(encoding="utf-8") for name in ("stdout", "stderr")]
        return subprocess.CompletedProcess(self._arguments, status, *said)

    def has_ended(self) -> bool:
        """Tell whether the process has ended, waited for or not."""
        return Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] == "Z"


class Server:
    """Forks a process for each command, one at a time, in a twentieth of the time that a new one takes.

    Parameters
    ----------
    folder : Path
        Where the output of commands goes.
    entry : str
        The module and the name of the function that a command calls with its arguments.
    """

    def __init__(self, folder: Path, entry: str = "pipeline.cli:main") -> None:
        self._folder = folder
        self._running: Running | None = None
        self._server = subprocess.Popen(
            [sys.executable, __file__, entry], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        """Give the server."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the server."""
        self._server.__exit__(kind, error, trace)

    def start(self, *arguments: str, largest_file: int | None = None) -> Running:
        """Start a command in the present directory, that can write no file larger than is said."""
        if self._running and not self._running.is_waited_for:
            # A test that failed left its command running; the next test shall not read its status.
            self._running.end(signal.SIGKILL)
            self._running.wait()
        request = {
            "arguments": arguments,
            "directory": os.fspath(Path.cwd()),
            "folder": os.fspath(self._folder),
            "largest_file": largest_file,
        }
        assert self._server.stdin
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        self._running = Running(self._server, self._folder, arguments)
        return self._running

    def __call__(self, *arguments: str, largest_file: int | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return self.start(*arguments, largest_file=largest_file).wait()


def _serve(main: Callable[..., Any]) -> None:
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _run(json.loads(line), main)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
        # Until its status is asked for, a process that ended keeps its number.
        sys.stdin.readline()
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        sys.stdout.flush()


def _run(request: dict[str, Any], main: Callable[..., Any]) -> NoReturn:
    status: Any = 1
    for number, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(Path(request["folder"], name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
    try:
        # A shell's background jobs ignore it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(request["directory"])
        if request["largest_file"]:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (request["largest_file"],) * 2)
        main(request["arguments"], prog_name="mixture-pipeline")
    except SystemExit as end:
        status = end.code or 0
    except BaseException:  # noqa: BLE001  whatever a command lets through is what a test is to see
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    # Whatever a run would import.
    import cv2  # noqa: F401

    module, _, name = sys.argv[1].partition(":")
    _serve(getattr(importlib.import_module(module), name))
