"""The page in a real browser: pictures, values and controls. Needs Chromium, ChromeDriver and Selenium."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline import open_result, view
from pipeline.models.palette import class_color
from pipeline.results.color_maps import color_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

webdriver = pytest.importorskip("selenium.webdriver", reason="needs Selenium: pip install selenium")
if not (shutil.which("chromium") and shutil.which("chromedriver")):
    pytest.skip("needs Chromium: apt-get install chromium chromium-driver", allow_module_level=True)

pytestmark = pytest.mark.xdist_group("browser")

# It asks nobody but the page, also not for updates.
_ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1200,800",
)
# Whether every picture is complete, and nothing moves.
_IS_STILL = """
    const panes = [window.pipelinePanes?.left, window.pipelinePanes?.right()];
    return Boolean(panes[0]) && panes.filter(Boolean).every(({viewer: {world, viewport}}) =>
      world.getItemCount() > 0 && [...Array(world.getItemCount()).keys()].every((number) =>
        world.getItemAt(number).getFullyLoaded()) &&
      Math.abs(viewport.getZoom(true) / viewport.getZoom() - 1) < 1e-6)
"""
# The color in the middle of a pixel of the image, as it is on the canvas of a pane.
_COLOR = """
    const [side, x, y] = arguments;
    const pane = side === "left" ? window.pipelinePanes.left : window.pipelinePanes.right();
    const point = pane.item.imageToViewerElementCoordinates(new OpenSeadragon.Point(x + 0.5, y + 0.5));
    const {canvas} = pane.viewer.drawer;
    const ratio = canvas.width / canvas.clientWidth;
    return [...canvas.getContext("2d").getImageData(point.x * ratio, point.y * ratio, 1, 1).data];
"""
_GO = """
    const [x, y] = arguments;
    const {viewport} = window.pipelinePanes.left.viewer;
    const {item} = window.pipelinePanes.left;
    viewport.zoomTo(item.imageToViewportZoom(8), null, true);
    viewport.panTo(item.imageToViewportCoordinates(x + 0.5, y + 0.5), true);
"""
# The place of the middle of a pixel of the image in the window.
_PLACE = """
    const [side, x, y] = arguments;
    const pane = side === "left" ? window.pipelinePanes.left : window.pipelinePanes.right();
    const point = pane.item.imageToViewerElementCoordinates(new OpenSeadragon.Point(x + 0.5, y + 0.5));
    const box = pane.viewer.element.getBoundingClientRect();
    return [box.left + point.x, box.top + point.y];
"""
_IS_LISTED = """
    const {x, y} = document.getElementById("values").dataset;
    return x == arguments[0] && y == arguments[1];
"""
_CELLS = "return [...document.querySelectorAll('#values td')].map((one) => one.dataset.value)"


class Page:
    """The page in a browser."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def script(self, text: str, *arguments: object) -> Any:
        """Run a script in the page."""
        return self.driver.execute_script(text, *arguments)

    def wait(self, script: str, *arguments: object) -> None:
        """Wait until a script returns something true."""
        from selenium.webdriver.support.wait import WebDriverWait  # noqa: PLC0415  not installed everywhere

        WebDriverWait(self.driver, 60, 0.05).until(lambda _: self.script(script, *arguments))

    def settle(self) -> None:
        """Wait until all pictures are complete, and have been drawn."""
        self.wait(_IS_STILL)
        self.driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
        self.wait(_IS_STILL)

    def choose(self, element: str, value: str) -> None:
        """Set the value of a control as a user does."""
        self.script(
            "const one = document.getElementById(arguments[0]); one.value = arguments[1];"
            "for (const kind of ['input', 'change']) one.dispatchEvent(new Event(kind))",
            element,
            value,
        )

    def click(self, selector: str) -> None:
        """Click on an element."""
        self.script("document.querySelector(arguments[0]).click()", selector)

    def color(self, side: str, x: int, y: int) -> list[int]:
        """Return red, green, blue and alpha on the canvas in the middle of a pixel of the image."""
        found: list[int] = self.script(_COLOR, side, x, y)
        return found

    def text(self, selector: str) -> str:
        """Return the text of an element."""
        return str(self.script("return document.querySelector(arguments[0]).textContent", selector))

    def point(self, side: str, x: int, y: int) -> list[Any]:
        """Move the cursor to a pixel of the image, and return the values that the page lists then."""
        place = self.script(_PLACE, side, x, y)
        actions = webdriver.ActionChains(self.driver, duration=0)
        actions.w3c_actions.pointer_action.move_to_location(*map(round, place))
        actions.perform()
        self.wait(_IS_LISTED, x, y)
        cells = self.script(_CELLS)
        return [json.loads(cell) for cell in cells if cell is not None]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Give a browser with a profile of its own."""
    from selenium.webdriver.chrome.service import Service  # noqa: PLC0415  not installed everywhere

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in (*_ARGUMENTS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture
def page(driver: Any, scene: Path) -> Iterator[Page]:
    """Give the page of a result, which then has logged no error and asked nobody else."""
    with view(scene / "out.zarr") as viewer:
        driver.get(viewer.url)
        page = Page(driver)
        page.settle()
        yield page
        driver.get("about:blank")
    assert not [one for one in driver.get_log("browser") if one["level"] == "SEVERE"]
    messages = [json.loads(one["message"])["message"] for one in driver.get_log("performance")]
    asked = [
        one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"
    ]
    assert asked
    # The browser's own pages are no requests.
    assert not [
        url
        for url in asked
        if not url.startswith((viewer.url, "about:", "chrome:", "chrome-untrusted:", "data:"))
    ]


def test_full_resolution_shows_the_stored_values(page: Page, scene: Path) -> None:
    """Side by side, pixels have the colors of the image and of the stored values."""
    result = open_result(scene / "out.zarr")
    values = np.asarray(result["ratio"]).astype(np.float64)
    page.click("[value=sides]")
    page.choose("plane", "2")
    page.choose("low", "-4")
    page.choose("high", "6")
    for x, y in ((700, 500), (511, 512), (1340, 890)):
        page.script(_GO, x, y)
        page.settle()
        for dx, dy in ((0, 0), (1, 0), (0, 2)):
            step = int(np.clip((values[y + dy, x + dx] + 4) / 10, 0, 1) * 255 + 0.5)
            assert page.color("right", x + dx, y + dy) == color_table("blue-red")[step].tolist()
        found = page.point("right", x, y)
        assert found == [
            value for name in result for value in np.asarray(result[name])[..., y, x].ravel().tolist()
        ]


def test_blended_colors(page: Page, scene: Path) -> None:
    """A label lies over the image with the opacity that is chosen; a hidden class leaves the image bare."""
    label = np.asarray(open_result(scene / "out.zarr")["kind"])
    image = page_image(scene)
    page.script(_GO, 700, 500)
    page.choose("opacity", "100")
    page.settle()
    assert page.color("left", 700, 500)[:3] == list(class_color(int(label[500, 700])))
    page.choose("opacity", "50")
    page.settle()
    wanted = (np.array(class_color(int(label[500, 700]))) + image[500, 700]) / 2
    assert np.abs(np.array(page.color("left", 700, 500)[:3]) - wanted).max() <= 1
    page.click("#none")
    page.wait("return window.pipelinePanes.left.viewer.world.getItemCount() === 2")
    page.settle()
    assert page.color("left", 700, 500)[:3] == image[500, 700].tolist()


def test_names_are_text(page: Page) -> None:
    """The legend has the names of the classes, which are no markup, and their areas."""
    names = page.script("return [...document.querySelectorAll('#classes b')].map((one) => one.textContent)")
    assert names == ["<b>dark</b>", 'light & "bright"']
    assert "mm²" in page.text("#classes small")
    assert page.text("#title") == "out.zarr"
    assert page.script("return document.querySelector('#classes b').children.length") == 0


def test_values_and_ranges(page: Page) -> None:
    """A pixel without data says so; a range that is none is refused before it is asked for."""
    page.script(_GO, 20, 20)
    page.settle()
    assert page.point("left", 20, 20) == [None] * 5
    assert page.text("#line").startswith("kind: no data · column 20, row 20 · x 5.125 µm, y 5.125 µm")
    page.choose("plane", "1")
    page.choose("low", "-1")
    assert page.text("#wrong") == "Low must be positive on a logarithmic scale."
    page.click("#automatic")
    assert page.script("return document.getElementById('wrong').hidden")
    page.choose("map", "viridis")
    page.settle()
    assert page.text("#ruler span").endswith("µm")


def test_keys(page: Page) -> None:
    """Plus, an arrow and 0 move the image, and the value in the middle is listed; H hides the result."""
    from selenium.webdriver.common.keys import Keys  # noqa: PLC0415  not installed everywhere

    stage = page.driver.find_element("css selector", "#left .openseadragon-canvas")
    before = page.script("return window.pipelinePanes.left.zoom")
    stage.send_keys("1")
    page.settle()
    assert page.script("return window.pipelinePanes.left.zoom") == pytest.approx(1, rel=1e-3)
    stage.send_keys(Keys.ARROW_RIGHT)
    page.settle()
    page.wait("return document.getElementById('values').dataset.x !== undefined")
    assert page.text("#place-title") == "In the middle"
    stage.send_keys("h")
    assert not page.script("return document.getElementById('shown').checked")
    stage.send_keys("0")
    page.settle()
    assert page.script("return window.pipelinePanes.left.zoom") == pytest.approx(before, rel=1e-3)


def page_image(scene: Path) -> np.ndarray:
    """Return the pixels of the image."""
    import tifffile  # noqa: PLC0415  only here

    return np.asarray(tifffile.imread(scene / "slide.tif"))
