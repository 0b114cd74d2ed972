"""Tests of color tables: the bits of the program, each color computed once, filled by many threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from arrays import evaluate_array, output_of
from hypothesis import given, settings
from hypothesis import strategies as st
from references import random_mixture

from pipeline import (
    Confidence,
    Density,
    Entropy,
    Label,
    LogDensity,
    LogRatio,
    Mixture,
    Packed,
    Posterior,
    load_model,
)
from pipeline.compute import color_table
from pipeline.compute.color_table import (
    ColorTable,
    find_table,
    share_tables,
    table_bytes,
)
from pipeline.compute.colors import pack_colors
from pipeline.compute.engines import evaluate_pixels
from pipeline.compute.program import Program
from pipeline.models.output import make_outputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.models.output import Output

KINDS = st.sampled_from([("uint8", 1), ("uint8", 2), ("uint8", 3), ("uint16", 1), (">u2", 1)])


def look_up(table: ColorTable, pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the results of pixels (h, w, C)."""
    out = np.empty((1, pixels.shape[0] * pixels.shape[1]), table.rows.dtype["0"].base)
    table.look_up(pack_colors(pixels), [out])
    return out.reshape(pixels.shape[:2])


@settings(max_examples=60)
@given(
    KINDS,
    st.integers(1, 40),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["float32", "float64"]),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(*[st.sampled_from([-2, -1, 1, 3])] * 2),
    st.integers(0, 2**32),
)
def test_table_equals_numexpr_bit_for_bit(
    kind: tuple[str, int],
    n_kernels: int,
    full: bool,
    normalized: bool,
    dtype: str,
    shape: tuple[int, int],
    steps: tuple[int, int],
    seed: int,
) -> None:
    """For any mixture, dtype, strides and shape both engines have the same bits, whatever the table has."""
    mixture = random_mixture(n_kernels, kind[1], full=full, seed=seed)
    other = random_mixture(2, kind[1], seed=seed + 1)
    quantities = [
        Density(mixture, normalized=normalized),
        LogDensity(mixture, normalized=normalized),
        LogRatio(mixture, other),
        Confidence(mixture),
        Entropy(mixture),
    ]
    quantity = quantities[seed % len(quantities)]
    random = np.random.default_rng(seed)
    image = random.integers(0, np.iinfo(kind[0]).max, (*shape, kind[1]), endpoint=True).astype(kind[0])
    for view in (image[:: steps[0], :: steps[1]], image.transpose(1, 0, 2)[..., ::-1]):
        wanted = evaluate_array(view, quantity, dtype=dtype, engine="numexpr")
        for _ in range(2):
            got = evaluate_array(view, quantity, dtype=dtype, engine="table")
            np.testing.assert_array_equal(got.view("u1"), wanted.view("u1"))


@pytest.mark.parametrize("model", ["jones-rehg-skin", "jones-rehg-nonskin"])
def test_all_colors_of_the_published_models(model: str) -> None:
    """Every one of the 2^24 colors has the bits of the program."""
    levels = np.arange(256, dtype=np.uint8)
    quantity = Density(load_model(model))
    table = ColorTable([output_of(quantity)], 24)
    green, blue = np.meshgrid(levels, levels, indexing="ij")
    for red in levels:
        image = np.stack([np.full_like(green, red), green, blue], axis=-1)
        wanted = evaluate_array(image, quantity, engine="numexpr")
        np.testing.assert_array_equal(look_up(table, image), wanted)
    assert not np.isnan(table.rows["0"]).any()


def test_noise_has_the_bits_of_the_program(tables: OrderedDict[Any, ColorTable]) -> None:
    """Colors that hardly ever occur twice are computed without being sorted, and kept all the same."""
    mixture = random_mixture(3, 3)
    pixels = np.random.default_rng(0).integers(0, 256, (200, 400, 3), dtype=np.uint8)
    wanted = evaluate_array(pixels, Density(mixture), engine="numexpr")
    for _ in range(2):
        np.testing.assert_array_equal(evaluate_array(pixels, Density(mixture), engine="table"), wanted)
    (table,) = tables.values()
    n_colors = len(np.unique(pixels.reshape(-1, 3), axis=0))
    assert np.count_nonzero(~np.isnan(table.rows["0"])) == n_colors


def test_each_color_is_computed_once(
    monkeypatch: pytest.MonkeyPatch, photo: NDArray[np.uint8], skin: Mixture
) -> None:
    """The program runs once for each color that occurs, however many threads look it up."""
    computed: list[NDArray[np.float64]] = []
    original = Program.run

    def spy(self: Program, planes: NDArray[np.float64], outs: Any, *, serial: bool) -> Any:
        computed.append(planes.copy())
        return original(self, planes, outs, serial=serial)

    monkeypatch.setattr(Program, "run", spy)
    table = ColorTable([output_of(Density(skin))], 24)
    strips = np.split(photo, 8) * 4
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda strip: look_up(table, strip), strips))
    colors = np.concatenate([planes.T for planes in computed])
    occurring = np.unique(photo.reshape(-1, 3), axis=0)
    np.testing.assert_array_equal(np.unique(colors, axis=0), occurring)
    assert len(colors) == len(occurring) == np.count_nonzero(~np.isnan(table.rows["0"]))


def test_eight_threads_fill_one_table_from_cold() -> None:
    """Every value is right, also if all threads look up the same new colors at the same time."""
    quantity = Density(random_mixture(5, 3))
    random = np.random.default_rng(0)
    image = random.integers(0, 40, (64, 64, 3), dtype=np.uint8)
    wanted = evaluate_array(image, quantity, engine="numexpr")
    with ThreadPoolExecutor(8) as pool:
        for _ in range(25):
            table = ColorTable([output_of(quantity)], 24)
            for got in pool.map(lambda _, table=table: look_up(table, image), range(16)):
                np.testing.assert_array_equal(got, wanted)


def test_threads_fill_different_colors_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that misses other colors computes them meanwhile, and each color is computed once."""
    both, computed = threading.Barrier(2, timeout=60), []
    original = color_table.compute_planes

    def meet(outputs: list[Output], planes: NDArray[np.float64], *more: Any, **options: Any) -> Any:
        # Neither thread gets beyond this before the other one is here too.
        both.wait()
        computed.extend(planes[0].tolist())
        return original(outputs, planes, *more, **options)

    monkeypatch.setattr(color_table, "compute_planes", meet)
    quantity = Density(random_mixture(3, 1))
    table = ColorTable([output_of(quantity)], 8)
    images = [np.arange(start, stop, dtype=np.uint8)[None, :, None] for start, stop in ((0, 100), (100, 250))]
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda image: look_up(table, image), images))
    monkeypatch.undo()
    assert sorted(computed) == list(range(250))
    for image, result in zip(images, results, strict=True):
        np.testing.assert_array_equal(result, evaluate_array(image, quantity, engine="numexpr"))


def test_a_thread_that_fails_leaves_its_colors_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that waits for another one's colors computes them if that one fails."""
    started, waiting = threading.Event(), threading.Event()
    original = color_table.compute_planes

    def fail_first(*arguments: Any, **options: Any) -> Any:
        if not started.is_set():
            started.set()
            waiting.wait(60)
            raise MemoryError
        return original(*arguments, **options)

    class Ended(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waiting.set()
            return super().wait(timeout)

    monkeypatch.setattr(color_table, "compute_planes", fail_first)
    quantity = Density(random_mixture(3, 1))
    table, image = ColorTable([output_of(quantity)], 8), np.arange(99, dtype=np.uint8)[None, :, None]
    with ThreadPoolExecutor(2) as pool:
        batch = color_table._Batch
        monkeypatch.setattr(color_table, "_Batch", lambda colors: _with(batch(colors), Ended()))
        failing = pool.submit(look_up, table, image)
        started.wait(60)
        result = pool.submit(look_up, table, image).result(60)
        with pytest.raises(MemoryError):
            failing.result(60)
    monkeypatch.undo()
    np.testing.assert_array_equal(result, evaluate_array(image, quantity, engine="numexpr"))


def _with(batch: Any, ended: threading.Event) -> Any:
    batch.ended = ended
    return batch


def test_finding_a_table_allocates_nothing(tables: OrderedDict[Any, ColorTable]) -> None:
    """Rows are allocated when a color is looked up, so that no thread waits for another one's table."""
    table = find_table([output_of(Density(random_mixture(1, 3)))], 24)
    assert table._rows is None
    assert table.nbytes == 2**26
    assert list(tables.values()) == [table]
    assert len(table.rows) == 2**24


def test_values_that_are_nan_stay_right() -> None:
    """Where a program overflows to NaN, both engines return NaN, and filling ends."""
    far = Mixture([1.0], [[1e308, -1e308]], [[[1.0, 0.9], [0.9, 1.0]]])
    image = np.zeros((3, 3, 2), np.uint8)
    np.testing.assert_array_equal(
        evaluate_array(image, Density(far), engine="table"),
        evaluate_array(image, Density(far), engine="numexpr"),
    )


def test_a_process_has_one_table_for_a_quantity(skin: Mixture) -> None:
    """Equal quantities share a table, whatever their outputs are named. Others have their own."""
    with ThreadPoolExecutor(8) as pool:
        tables = set(pool.map(lambda _: find_table([output_of(Density(skin))], 24), range(32)))
    assert len(tables) == 1
    (named,) = make_outputs({"other-name": Density(skin)})
    assert find_table([named], 24) in tables
    assert find_table([output_of(Density(random_mixture(1, 3)))], 24) not in tables
    assert find_table([output_of(Density(skin), "float64")], 24) not in tables


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> OrderedDict[Any, ColorTable]:
    """Return the tables of the process, none at first."""
    kept: OrderedDict[Any, ColorTable] = OrderedDict()
    monkeypatch.setattr(color_table, "_tables", kept)
    return kept


def test_many_quantities_fill_each_table_once(
    tables: OrderedDict[Any, ColorTable], monkeypatch: pytest.MonkeyPatch, photo: NDArray[np.uint8]
) -> None:
    """However many outputs a run has, no block computes a color that an earlier block has computed."""
    computed = []
    original = color_table.compute_planes

    def spy(outputs: list[Output], planes: NDArray[np.float64], *more: Any, **options: Any) -> Any:
        computed.extend((output.quantity, *color) for output in outputs for color in planes.T.tolist())
        return original(outputs, planes, *more, **options)

    monkeypatch.setattr(color_table, "compute_planes", spy)
    outputs = [output_of(Density(random_mixture(1, 2, seed=seed))) for seed in range(9)]
    for block in np.split(photo[..., :2], 4):
        evaluate_pixels(block, outputs, ["table"] * 9, serial=True)
    n_colors = len(np.unique(photo[..., :2].reshape(-1, 2), axis=0))
    assert len(computed) == len(set(computed)) == 9 * n_colors
    assert [len(kinds) for kinds, _ in tables] == [4, 4, 1]


def test_tables_are_kept_by_their_bytes(
    tables: OrderedDict[Any, ColorTable], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If tables take too much memory, the least recently used one is dropped, never the requested one."""
    quantities = [Density(random_mixture(1, 1, seed=seed)) for seed in range(4)]
    outputs = [[output_of(quantity)] for quantity in quantities]
    monkeypatch.setattr(color_table, "MOST_KEPT", 3 * 2**8 * 4)
    first = [find_table(one, 8) for one in outputs[:3]]
    assert find_table(outputs[0], 8) is first[0]
    find_table(outputs[3], 8)
    assert [kinds[0][0] for kinds, _ in tables] == [quantities[number] for number in (2, 0, 3)]
    assert find_table(outputs[1], 8) is not first[1]
    large = find_table([output_of(quantities[0], "float64")], 16)
    assert list(tables.values()) == [large]


def test_the_size_of_a_table_is_known(skin: Mixture) -> None:
    """A table of float32 has 64 MiB for 24 bits. Rows of several outputs have aligned fields."""
    assert table_bytes([output_of(Density(skin))], 24) == 64 * 2**20
    assert table_bytes([output_of(Density(random_mixture(1, 1)), "float64")], 8) == 2**11
    packed = Packed(Posterior({"skin": skin, "other": skin}, only="skin"), "uint8")
    label = Label({"skin": skin, "other": skin})
    outputs = [output_of(quantity) for quantity in (packed, Density(skin), label, LogDensity(skin))]
    table = ColorTable(outputs, 8)
    assert table.rows.nbytes == table_bytes(outputs, 8) == 2**8 * 16
    for number, output in enumerate(outputs):
        assert table.rows.dtype.fields is not None
        assert table.rows.dtype.fields[str(number)][1] % output.dtype.itemsize == 0


@given(st.lists(st.tuples(st.sampled_from(["float16", "float32", "float64"]), st.integers(1, 9))))
def test_outputs_share_rows_of_sixteen_bytes(kinds: list[tuple[str, int]]) -> None:
    """Each output is in one table. A row has at most 16 bytes, unless one output alone has more."""
    outputs = [output_of(Posterior(random_mixture(n_classes, 1)), dtype) for dtype, n_classes in kinds]
    tables = share_tables(outputs)
    assert sorted(number for table in tables for number in table) == list(range(len(outputs)))
    for table in tables:
        size = sum(outputs[number].n_results * outputs[number].dtype.itemsize for number in table)
        row = table_bytes([outputs[number] for number in table], 0)
        assert size <= row <= max(16, size) if len(table) == 1 else size <= row <= 16


@settings(max_examples=40)
@given(
    st.lists(st.integers(0, 9), min_size=2, max_size=9),
    st.tuples(st.integers(1, 300), st.integers(1, 9)),
    st.integers(0, 2**32),
)
def test_quantities_that_share_a_table_have_the_bits_of_each_alone(
    chosen: list[int], shape: tuple[int, int], seed: int
) -> None:
    """Any outputs in any order have the results and errors that numexpr computes for each alone."""
    one, other = random_mixture(3, 2, seed=seed), random_mixture(2, 2, seed=seed + 1)
    classes = {"one": one, "other": other}
    quantities = [
        Density(one),
        LogRatio(one, other),
        Packed(Posterior(classes, only="one"), "uint8"),
        Label(classes),
        Posterior(random_mixture(7, 2, seed=seed)),
        Packed(LogDensity(other), "float16"),
        Packed(Posterior(classes), "uint16"),
        Confidence(classes),
        Entropy(one),
        Packed(Entropy(classes), "uint8"),
    ]
    image = np.random.default_rng(seed).integers(0, 256, (*shape, 2), dtype=np.uint8)
    outputs = [output_of(quantities[number]) for number in chosen]
    apart = [evaluate_pixels(image, [output], ["numexpr"], serial=True) for output in outputs]
    for _ in range(2):
        together, errors = evaluate_pixels(image, outputs, ["table"] * len(outputs), serial=True)
        for result, error, ((alone,), (alone_error,)) in zip(together, errors, apart, strict=True):
            np.testing.assert_array_equal(result.view("u1"), alone.view("u1"))
            assert error == np.float32(alone_error)


def test_opencvs_thread_count_is_left_alone(photo: NDArray[np.uint8], skin: Mixture) -> None:
    """A look-up changes no setting of OpenCV."""
    before = cv2.getNumThreads()
    evaluate_array(photo, Density(skin), engine="table")
    assert cv2.getNumThreads() == before
