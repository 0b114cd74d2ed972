"""Progress: events with rate and time left, drawn or logged or handed on, wherever somebody looks."""

from __future__ import annotations

import io
import logging
import math
import re
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING

import nbformat
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbclient import NotebookClient
from references import random_mixture

from pipeline import Density, Progress, stream
from pipeline.runs import progress
from pipeline.runs.progress import Reporter, check_mode, reporting

if TYPE_CHECKING:
    from pathlib import Path


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


class Clock:
    """A time that tests set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(progress.time, "perf_counter", lambda: self.now)


def draw(mode: str, stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> str:
    """Report two blocks and give what standard error got."""
    monkeypatch.setattr(sys, "stderr", stream)
    with reporting(mode, 2, 2_000_000) as reporter:
        reporter.advance(500_000, memory=2**30)
        reporter.advance(1_500_000)
    return stream.getvalue()


@pytest.mark.parametrize("mode", ["auto", "bar"])
def test_a_terminal_sees_pixels(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """In a terminal the bar counts pixels and blocks to the end, with rate, time and memory."""
    drawn = draw(mode, Terminal(), monkeypatch)
    assert "2.00M/2.00M" in drawn
    assert "pixel/s" in drawn
    last = drawn.split("\r")[-1]
    assert "100%" in last
    assert "block 2 of 2, 1.00 GiB" in last


def test_a_bar_is_drawn_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mode bar draws even where standard error is a file."""
    assert "2.00M/2.00M" in draw("bar", io.StringIO(), monkeypatch)


@pytest.mark.parametrize(
    ("mode", "stream"), [("auto", io.StringIO()), ("log", Terminal()), ("none", Terminal())]
)
def test_nothing_is_drawn_elsewhere(monkeypatch: pytest.MonkeyPatch, mode: str, stream: io.StringIO) -> None:
    """Where standard error is no terminal, or lines or nothing are wanted, there is no bar."""
    assert not draw(mode, stream, monkeypatch)


def test_a_shell_in_a_terminal_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """IPython without a kernel draws a bar where standard error is a terminal, and nowhere else."""
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=SimpleNamespace))
    assert "2.00M/2.00M" in draw("auto", Terminal(), monkeypatch)
    assert not draw("auto", io.StringIO(), monkeypatch)


RUN = """
import numpy as np
from pipeline import Density, Mixture, stream
image = np.zeros((40, 70, 3), np.uint8)
_ = stream(image, Density(Mixture([1.0], [[1.0, 2, 3]], [[4.0, 5, 6]])), "out.zarr", block=16)
"""


def outputs_of_a_kernel(folder: Path, *cells: str) -> list[nbformat.NotebookNode]:
    """Run cells in a Jupyter kernel, and return the outputs of the last one."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    outputs: list[nbformat.NotebookNode] = notebook.cells[-1].outputs
    return outputs


def test_a_kernel_without_widgets(tmp_path: Path) -> None:
    """In a Jupyter kernel without ipywidgets a bar of characters is the only output, and goes to the end."""
    hide = "import sys; sys.modules['ipywidgets'] = None"
    outputs = outputs_of_a_kernel(tmp_path, hide, RUN)
    assert {(output.output_type, output.get("name")) for output in outputs} == {("stream", "stderr")}
    shown = "".join(output.text for output in outputs)
    assert "block 15 of 15" in shown
    assert "100%" in shown
    assert "Warning" not in shown


def test_a_kernel_with_widgets(tmp_path: Path) -> None:
    """In a Jupyter kernel with ipywidgets the bar is a widget and the only output."""
    (output,) = outputs_of_a_kernel(tmp_path, RUN)
    assert output.output_type == "display_data"
    assert "application/vnd.jupyter.widget-view+json" in output.data


@pytest.mark.parametrize(
    ("before", "lines"),
    [
        ("", 15),
        ("import logging; logging.basicConfig(filename='run.log', level=logging.INFO)", 0),
    ],
)
def test_a_script(tmp_path: Path, before: str, lines: int) -> None:
    """A script has lines on standard error, or where it has set up its logging."""
    code = f"{before}\nfrom pipeline.runs import progress; progress._EVERY = 0\n{RUN}"
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.count("\n") == lines, done.stderr
    said = done.stderr if lines else (tmp_path / "run.log").read_text(encoding="utf-8")
    assert re.findall(r"block (\d+) of 15, ", said) == [str(number) for number in range(1, 16)]


@pytest.mark.parametrize("mode", ["auto", "log"])
def test_a_log_gets_a_line_every_ten_seconds(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    """Without a terminal, plain lines say how far the run is, and not more often than every ten seconds."""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    clock = Clock(monkeypatch)
    with caplog.at_level(logging.INFO, "pipeline.progress"), reporting(mode, 60, 60_000_000) as reporter:
        for _ in range(60):
            clock.now += 0.5
            reporter.advance(1_000_000, memory=3 * 2**29)
    assert [record.levelname for record in caplog.records] == ["INFO"] * 3
    assert caplog.messages[0] == (
        "33.3%: block 20 of 60, 2.0 megapixels a second, 0:00:10 gone, 0:00:20 left, peak memory 1.50 GiB"
    )
    assert caplog.messages[2].startswith("100.0%: block 60 of 60")


def test_nothing_is_logged_where_nothing_is_wanted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a bar's run nor a silent one logs lines."""
    clock = Clock(monkeypatch)
    monkeypatch.setattr(sys, "stderr", Terminal())
    for mode in ("bar", "auto", "none"):
        with caplog.at_level(logging.INFO, "pipeline.progress"), reporting(mode, 2, 2) as reporter:
            clock.now += 100
            reporter.advance(1)
    assert caplog.messages == []


def test_a_function_gets_an_event_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each event counts what is done by then, and is of its own."""
    clock = Clock(monkeypatch)
    events: list[Progress] = []
    with reporting(events.append, 3, 100) as reporter:
        for pixels, memory, skipped in ((50, 7, False), (30, 9, True), (20, 8, False)):
            clock.now += 2
            reporter.advance(pixels, memory=memory, skipped=skipped)
    assert events == [
        Progress(3, 100, blocks=1, pixels=50, skipped=0, seconds=2, peak_memory=7),
        Progress(3, 100, blocks=2, pixels=80, skipped=1, seconds=4, peak_memory=9),
        Progress(3, 100, blocks=3, pixels=100, skipped=1, seconds=6, peak_memory=9),
    ]
    assert [event.pixels_per_second for event in events] == [25, 20, pytest.approx(100 / 6)]
    assert [event.seconds_left for event in events] == [2, 1, 0]
    assert "block 2 of 3, 1 skipped, " in str(events[1])


def test_a_run_tells_of_every_block_in_its_own_thread(tmp_path: Path) -> None:
    """A run's events count to its end, and come where it was called."""
    threads, events = set(), []

    def listen(event: Progress) -> None:
        threads.add(threading.get_ident())
        events.append(event)

    image = np.zeros((40, 70, 3), np.uint8)
    receipt = stream(image, Density(random_mixture(1, 3)), tmp_path / "out.zarr", block=16, progress=listen)
    assert threads == {threading.get_ident()}
    assert [event.blocks for event in events] == list(range(1, 16))
    assert (events[-1].total_blocks, events[-1].pixels, events[-1].total_pixels) == (15, 2800, 2800)
    assert 2**20 < events[-1].peak_memory == receipt.peak_memory
    assert 0 < events[0].seconds <= events[-1].seconds <= receipt.seconds


def test_before_the_first_block() -> None:
    """Nothing is known of the time left yet, and nothing divides by zero."""
    start = Progress(4, 400)
    assert (start.pixels_per_second, start.seconds_left) == (0, math.inf)
    assert str(start).startswith(
        "0.0%: block 0 of 4, 0.0 megapixels a second, 0:00:00 gone, unknown time left"
    )
    empty = Progress(0, 0)
    assert (empty.pixels_per_second, empty.seconds_left) == (0, 0)
    assert str(empty).startswith("100.0%")


@given(st.integers(1, 10**12), st.floats(0, 1), st.floats(1e-6, 1e7))
def test_time_left_is_what_the_rest_takes_at_this_rate(total: int, share: float, seconds: float) -> None:
    """What is gone and what is left are in the proportion of the pixels."""
    pixels = round(total * share)
    event = Progress(1, total, pixels=pixels, seconds=seconds)
    assert event.pixels_per_second == pytest.approx(pixels / seconds)
    if pixels:
        assert event.seconds_left == pytest.approx(seconds * (total - pixels) / pixels)
    assert str(event)


def test_a_stage_before_the_first_block_is_told(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """A bar and the log say at once what is done, until blocks are."""
    caplog.set_level(logging.INFO)
    for mode in ("bar", "log"):
        with reporting(mode, 2, 20) as reporter:
            reporter.begin("compiling loops")
            assert "compiling loops" in (capsys.readouterr().err if mode == "bar" else caplog.text)
            reporter.advance(10)
            assert reporter.progress.stage == ""


def test_hours_are_counted() -> None:
    """A long run's times are in hours, minutes and seconds."""
    assert "26:01:05 gone, 26:01:05 left" in str(Progress(2, 2, blocks=1, pixels=1, seconds=93665))


def test_unknown_mode() -> None:
    """Another mode gets an error that lists the modes, before anything is begun."""
    for mode in ("loud", None, 3):
        with pytest.raises(ValueError, match="wanted one of auto, bar, log, none, or a function"):
            check_mode(mode)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="progress is 'loud'"), reporting("loud", 1, 1):
        pass
    for known in (*progress.MODES, print):
        check_mode(known)


def test_an_error_of_the_listener_is_the_callers() -> None:
    """What a listener raises isn't hidden."""

    def fail(_: Progress) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        Reporter(fail, 1, 1).advance(1)
