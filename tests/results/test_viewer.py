"""The page of a result as an object."""

from __future__ import annotations

import sys
import threading
import webbrowser
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from pipeline import view
from pipeline.results import viewer as module

if TYPE_CHECKING:
    from pathlib import Path


def test_a_page_is_served_until_it_is_closed(scene: Path) -> None:
    """The page is there within the context, and closing it twice does nothing."""
    before = threading.active_count()
    with view(scene / "out.zarr") as page:
        assert repr(page) == f"<Viewer: out.zarr, {page.url}>"
        with urlopen(page.url, timeout=20) as answer:  # noqa: S310  the address of the test's own page
            assert b"<title>" in answer.read()
    with pytest.raises(URLError):
        urlopen(page.url, timeout=20)  # noqa: S310  see above
    page.close()
    page.wait()
    assert repr(page) == "<Viewer: out.zarr, closed>"
    assert page._repr_html_() == "<p>&lt;Viewer: out.zarr, closed&gt;</p>"
    assert threading.active_count() == before


def test_a_notebook_shows_the_page(scene: Path) -> None:
    """The HTML has the page in a frame, and a link to it."""
    with view(str(scene / "out.zarr")) as page:
        text = page._repr_html_()
    assert f'<iframe src="{page.url}" title="out.zarr"' in text
    assert f'<a href="{page.url}" target="_blank"' in text


def test_two_pages_have_addresses_of_their_own(scene: Path) -> None:
    """Each page has its port and its secret; a port that is taken is refused."""
    with view(scene / "out.zarr") as one, view(scene / "out.zarr") as other:
        ports, secrets = zip(*(page.url.split("/")[2:4] for page in (one, other)), strict=True)
        assert len({*ports, *secrets}) == 4
        with pytest.raises(OSError, match="in use"):
            view(scene / "out.zarr", port=int(ports[0].split(":")[1]))


@pytest.mark.parametrize("has_screen", [True, False])
def test_the_browser_is_opened_where_there_is_a_screen(
    scene: Path, monkeypatch: pytest.MonkeyPatch, has_screen: bool
) -> None:
    """A browser without a window would take the terminal."""
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":0" if has_screen else "")
    with view(scene / "out.zarr", open_browser=True) as page:
        assert opened == [page.url] * has_screen
    monkeypatch.setattr(sys, "platform", "darwin")
    assert module._has_screen()


def test_what_can_not_be_shown(tmp_path: Path) -> None:
    """A store that isn't there and a port that is none are refused."""
    with pytest.raises(FileNotFoundError, match="doesn't exist"):
        view(tmp_path / "none.zarr")
    with pytest.raises(ValueError, match="port is 70000; wanted 0 for any free port, or one up to 65535"):
        view(tmp_path / "none.zarr", port=70000)
    port: Any = "80"
    with pytest.raises(TypeError):
        view(tmp_path / "none.zarr", port=port)
