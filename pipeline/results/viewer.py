"""The page of a result in a browser."""

from __future__ import annotations

import html
import operator
import os
import sys
import threading
from typing import TYPE_CHECKING, Self

from pipeline.results.result import open_result

if TYPE_CHECKING:
    from types import TracebackType

    from pipeline.results.page_server import PageServer

_HIGHEST_PORT = 65535


class Viewer:
    """A page that shows a result, served by a thread until it is closed: made by :func:`view`.

    It is a context manager, at whose end the page is closed. A notebook shows it as the page itself.

    Attributes
    ----------
    url : str
        The address of the page, which works on this machine only.
    """

    def __init__(self, server: PageServer) -> None:
        self._server, self.url = server, server.url
        self._thread = threading.Thread(
            target=server.serve_forever, name="mixture-pipeline view", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop serving the page. Closing it again changes nothing."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait(self) -> None:
        """Wait until the page is closed, or the program is interrupted."""
        # Without a time limit, Windows doesn't let a waiting program be interrupted.
        while self._thread.is_alive():
            self._thread.join(1.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = self.url if self._thread.is_alive() else "closed"
        return f"<Viewer: {self._server.content.title}, {state}>"

    def _repr_html_(self) -> str:
        if not self._thread.is_alive():
            return f"<p>{html.escape(repr(self))}</p>"
        title = html.escape(self._server.content.title)
        return (
            f'<iframe src="{self.url}" title="{title}" width="100%" height="600" style="border: 0"></iframe>'
            f'<p><a href="{self.url}" target="_blank" rel="noopener">{title} in a page of its own</a></p>'
        )


def view(store: str | os.PathLike[str], *, port: int = 0, open_browser: bool = False) -> Viewer:
    """Serve a page that shows a result over its image, for a browser on this machine.

    The page zooms from an overview to single pixels. It has the image and the results blended or side by
    side, the values under the cursor, ranges and color maps, and the classes with their areas. It needs no
    network.

    Parameters
    ----------
    store : path
        A store that :func:`stream` wrote.
    port : int
        The port on 127.0.0.1; 0 is any free one.
    open_browser : bool
        Whether to open the page in the browser.

    Returns
    -------
    Viewer
        Its ``url`` is the address of the page, which is served until ``close()``. A notebook shows the page.

    Raises
    ------
    FileNotFoundError
        If nothing is there, or only the store of an interrupted run.
    OSError
        If the port is taken.
    ValueError
        If this isn't a result of this package, or the port isn't a number from 0 to 65535.

    Notes
    -----
    Only programs on this machine that know the address, which has a secret in it, get an answer. Nothing is
    written, and nothing is requested from a network: an image at a URL isn't shown. If the image isn't where
    it was or has changed, the page shows the results without it.

    Examples
    --------
    >>> viewer = view("out.zarr")  # doctest: +SKIP
    >>> viewer.url  # doctest: +SKIP
    'http://127.0.0.1:40123/6fDkX0iVg1cPpcZB0pBGVw/'
    """
    # They take time that only a page needs.
    from pipeline.results.page_content import PageContent  # noqa: PLC0415  see above
    from pipeline.results.page_server import PageServer  # noqa: PLC0415  see above

    number = operator.index(port)
    if not 0 <= number <= _HIGHEST_PORT:
        raise ValueError(f"port is {number}; wanted 0 for any free port, or one up to {_HIGHEST_PORT}")
    viewer = Viewer(PageServer(PageContent(open_result(store)), number))
    if open_browser and _has_screen():
        import webbrowser  # noqa: PLC0415  see above

        webbrowser.open(viewer.url)
    return viewer


def _has_screen() -> bool:
    """Return whether a browser would have a window, rather than take the terminal."""
    is_unix = os.name == "posix" and sys.platform != "darwin"
    return not is_unix or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
