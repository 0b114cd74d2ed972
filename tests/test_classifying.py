"""Tests of classifiers: which pixels they are fitted to and scored by, against the pixels themselves."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import cv2
import dask
import dask.array as da
import numpy as np
import pytest
import tifffile
from images.examples import box, feature, write_geojson
from sklearn.metrics import accuracy_score, cohen_kappa_score, confusion_matrix, log_loss, roc_auc_score

from pipeline import (
    Classes,
    Label,
    LogRatio,
    Mixture,
    Posterior,
    Scores,
    evaluate,
    fit_classes,
    fit_mixture,
    score_classes,
)
from pipeline.compute import counting as compute_counting
from pipeline.compute import histogram as histogram_module
from pipeline.compute.places import groups_of
from pipeline.images.grid import choose_grid
from pipeline.runs import counting

if TYPE_CHECKING:
    from pathlib import Path

    from distributed import Client
    from numpy.typing import NDArray

EXTENT = (120, 160)
RANDOM = np.random.default_rng(0)
# Four bands of three classes and of no class; the image resembles them, with noise.
LABELS = np.repeat(np.array([1, 0, 2, 5], np.uint8), 30)[:, np.newaxis] * np.ones(EXTENT, np.uint8)
IMAGE = RANDOM.normal(
    np.where(LABELS == 1, 90, np.where(LABELS == 2, 120, 150))[..., np.newaxis], 20, (*EXTENT, 3)
)
IMAGE = IMAGE.clip(0, 255).astype(np.uint8)
NAMES = {1: "ground", 2: "high grass, ü", 5: "sky"}
GROUPS = groups_of(slice(0, EXTENT[0]), slice(0, EXTENT[1]), EXTENT, 7)
IS_HELD = GROUPS < 6


def fit(image: Any = IMAGE, labels: Any = LABELS, n_kernels: Any = 1, **options: Any) -> Classes:
    """Fit without showing progress."""
    return fit_classes(image, labels, n_kernels, progress="none", **options)


def score(classes: Any, image: Any = IMAGE, labels: Any = LABELS, **options: Any) -> Scores:
    """Score without showing progress."""
    return score_classes(classes, image, labels, progress="none", **options)


def check_fitted(classes: Classes, where: NDArray[np.bool_], image: NDArray[Any] = IMAGE) -> None:
    """Compare classes of one kernel with means, variances and shares of the pixels of each label."""
    totals = [int((where & (label == LABELS)).sum()) for label in NAMES]
    np.testing.assert_allclose(classes.priors, np.array(totals) / sum(totals), rtol=1e-12)
    for (label, total), mixture in zip(zip(NAMES, totals, strict=True), classes.values(), strict=True):
        pixels = image[where & (label == LABELS)].astype(float)
        np.testing.assert_allclose(mixture.means[0], pixels.mean(axis=0), rtol=1e-9)
        np.testing.assert_allclose(mixture.covariances[0], pixels.var(axis=0), rtol=1e-9)
        assert mixture.fit is not None
        assert mixture.fit.n_pixels == total


def check_scores(scores: Scores, classes: Classes, where: NDArray[np.bool_]) -> None:
    """Compare scores with those of scikit-learn, of every labeled pixel by itself."""
    where = where & (LABELS != 0)
    truth = np.searchsorted(list(NAMES), LABELS[where])
    found = np.asarray(evaluate(IMAGE, Label(classes)))[where]
    np.testing.assert_array_equal(scores.confusion, confusion_matrix(truth, found))
    assert scores.n_pixels == where.sum()
    assert scores.accuracy == pytest.approx(accuracy_score(truth, found), rel=1e-12)
    assert scores.kappa == pytest.approx(cohen_kappa_score(truth, found), rel=1e-12)
    posteriors = np.asarray(evaluate(IMAGE, Posterior(classes), dtype="float64"))[where]
    assert scores.mean_log_loss == pytest.approx(log_loss(truth, posteriors), rel=1e-9)
    for number, name in enumerate(classes):
        rest = [other for other in classes if other != name]
        mixed = [classes.priors[list(classes).index(other)] * classes[other].weights for other in rest]
        parts = [
            np.concatenate([getattr(classes[one], key) for one in rest]) for key in ("means", "covariances")
        ]
        ratio = LogRatio(classes[name], Mixture(np.concatenate(mixed), *parts))
        values = np.asarray(evaluate(IMAGE, ratio, dtype="float64"))[where]
        assert scores.auc(name) == pytest.approx(roc_auc_score(truth == number, values), rel=1e-9)


def test_the_parts_are_disjoint_and_together_all() -> None:
    """Held-out pixels are fitted to nothing, and every other labeled pixel is."""
    held = fit(names=NAMES, held_out=0.3, seed=7)
    check_fitted(held, ~IS_HELD)
    scores = score(held, names=NAMES, held_out=0.3, seed=7)
    check_scores(scores, held, IS_HELD)
    n_fitted = sum(mixture.fit.n_pixels for mixture in held.values() if mixture.fit)
    assert n_fitted + scores.n_pixels == (LABELS != 0).sum()
    assert 0 < scores.n_pixels < n_fitted
    everything = fit(names=NAMES)
    check_fitted(everything, np.ones(EXTENT, bool))
    check_scores(score(everything, names=NAMES), everything, np.ones(EXTENT, bool))


@pytest.mark.parametrize("kind", ["array", "Dask", "PNG", "TIFF", "small", "path object"])
def test_labels_of_every_kind(tmp_path: Path, kind: str) -> None:
    """Labels are arrays, files, or small images of the same aspect."""
    cv2.imwrite(os.fspath(tmp_path / "x.png"), LABELS)
    tifffile.imwrite(tmp_path / "x.tif", LABELS.astype(np.uint16), photometric="minisblack")
    kinds: dict[str, Any] = {
        "array": LABELS.astype(np.int64),
        "Dask": da.from_array(LABELS, chunks=50),
        "PNG": os.fspath(tmp_path / "x.png"),
        "TIFF": os.fspath(tmp_path / "x.tif"),
        "small": LABELS[::5, ::5].copy(),
        "path object": tmp_path / "x.png",
    }
    classes = fit(labels=kinds[kind], held_out=0.3, seed=7)
    assert list(classes) == ["1", "2", "5"]
    check_fitted(classes, ~IS_HELD)
    check_scores(score(classes, labels=kinds[kind], held_out=0.3, seed=7), classes, IS_HELD)


def test_labels_of_polygons(tmp_path: Path) -> None:
    """Polygons name their classes, which other names can replace."""
    tops = {"ground": 0, NAMES[2]: 60, "sky": 90}
    boxes = [feature(box(0, top, 160, top + 30), classification={"name": name}) for name, top in tops.items()]
    path = write_geojson(tmp_path / "x.geojson", *boxes)
    classes = fit(labels=path, held_out=0.3, seed=7)
    assert set(classes) == set(tops)
    by_label = Classes(
        {name: classes[name] for name in NAMES.values()},
        dict(zip(classes, classes.priors, strict=True)),
    )
    check_fitted(by_label, ~IS_HELD)
    check_scores(score(by_label, labels=os.fspath(path), held_out=0.3, seed=7), by_label, IS_HELD)
    numbers = {name: number for number, name in enumerate(sorted(tops), 1)}
    letters = fit(
        labels=path, names={number: name[0].upper() + str(number) for name, number in numbers.items()}
    )
    assert list(letters) == ["G1", "H2", "S3"]


def test_blocks_and_executors_dont_matter(monkeypatch: pytest.MonkeyPatch, processes: Client) -> None:
    """Classes and scores are the same, by blocks of every size and on a cluster."""
    wanted = fit(names=NAMES, n_kernels=2, held_out=0.3, seed=7)
    scores = score(wanted, names=NAMES, held_out=0.3, seed=7)
    for block in (40, (120, 36), 160):
        grid = choose_grid(EXTENT, block=block)
        monkeypatch.setattr(counting, "choose_grids", lambda *_, grid=grid, **__: [grid])
        options: dict[str, Any] = {"client": processes if block == 40 else None, "held_out": 0.3, "seed": 7}
        with dask.config.set(num_workers=3):
            assert fit(names=NAMES, n_kernels=2, **options) == wanted
            again = score(wanted, names=NAMES, **options)
        np.testing.assert_array_equal(again.confusion, scores.confusion)
        assert again.auc("sky") == scores.auc("sky")
        assert again.auc_interval("sky") == scores.auc_interval("sky")


def test_intervals_respect_the_squares() -> None:
    """The groups of an interval are those of the squares."""
    classes = fit(names=NAMES)
    truth = LABELS[LABELS != 0]
    ratios = np.asarray(evaluate(IMAGE, Posterior(classes, only="sky"), dtype="float64"))[LABELS != 0]
    logs = np.log(np.stack([ratios, 1 - ratios], axis=-1))
    groups = GROUPS[LABELS != 0]
    by_hand = Scores.from_samples(
        ("sky", "rest"), (1.0, 1.0), logs, (truth != 5).astype(int), np.ones(len(truth), int), groups
    )
    found = score(classes, names=NAMES, seed=7)
    assert found.auc_interval("sky") == pytest.approx(by_hand.auc_interval("sky"), rel=1e-6)


@pytest.mark.parametrize("size", [10**6, 200])
def test_a_sample_stands_for_all_pixels(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Classes keep their shares in the scores, if floating point pixels are sampled."""
    for module in (histogram_module, compute_counting):
        monkeypatch.setattr(module, "SAMPLE", size)
    floats = IMAGE + np.float32(0.25)
    labels = LABELS.copy()
    labels[:20] = 0
    classes = fit(floats, labels, names=NAMES, held_out=0.3, seed=7)
    scores = score(classes, floats, labels, names=NAMES, held_out=0.3, seed=7)
    totals = np.array([(IS_HELD & (labels == label)).sum() for label in NAMES])
    np.testing.assert_array_equal(scores.confusion.sum(axis=1), totals)
    fitted = np.array([(~IS_HELD & (labels == label)).sum() for label in NAMES])
    np.testing.assert_allclose(classes.priors, fitted / fitted.sum())
    found = np.asarray(evaluate(floats, Label(classes)))
    where = IS_HELD & (labels != 0)
    truth = np.searchsorted(list(NAMES), labels[where])
    # About 200 pixels of each class in each of 6 groups are a sample.
    error = 0 if size > 200 else 5 * np.sqrt(0.25 / 1200)
    assert abs(scores.accuracy - accuracy_score(truth, found[where])) <= error + 1e-12


def test_priors_and_labels() -> None:
    """Priors are shares by default, and label what a caller evaluates; others can be given."""
    classes = fit(names=NAMES)
    posteriors = np.asarray(evaluate(IMAGE, Posterior(dict(classes), classes.priors), dtype="float64"))
    np.testing.assert_array_equal(np.asarray(evaluate(IMAGE, Label(classes))), posteriors.argmax(axis=-1))
    given = fit(names=NAMES, priors={"sky": 0.5, "ground": 0.2, NAMES[2]: 0.3})
    assert given.priors == (0.2, 0.3, 0.5)
    assert dict(given) == dict(classes)
    assert fit(priors=[1, 2, 3]).priors == (1, 2, 3)


def test_names_are_in_the_order_of_the_labels() -> None:
    """Names may come in any order, and leave out no label; two labels of one name are one class."""
    assert list(fit(names={5: "sky", 1: "ground", 2: "grass"})) == ["sky", "ground", "grass"]
    merged = fit(names={1: "land", 2: "land", 5: "sky"})
    assert list(merged) == ["land", "sky"]
    pixels = IMAGE[(LABELS == 1) | (LABELS == 2)].astype(float)
    np.testing.assert_allclose(merged["land"].means[0], pixels.mean(axis=0))
    assert merged.priors == (2 / 3, 1 / 3)
    scores = score(merged, names={1: "land", 2: "land", 5: "sky"})
    assert scores.confusion.sum(axis=1).tolist() == [2 * 30 * 160, 30 * 160]
    assert list(fit(labels=LABELS == 5)) == ["1"]


def test_masks_and_no_data() -> None:
    """Pixels without data are neither fitted to nor scored."""
    mask = RANDOM.integers(0, 2, EXTENT) != 0
    classes = fit(names=NAMES, mask=mask, held_out=0.3, seed=7)
    check_fitted(classes, ~IS_HELD & mask)
    check_scores(score(classes, names=NAMES, mask=mask, held_out=0.3, seed=7), classes, IS_HELD & mask)
    marked = np.where(mask[..., np.newaxis], IMAGE, 0)
    assert (IMAGE != 0).any(axis=-1).all()
    assert fit(marked, names=NAMES, no_data=0, held_out=0.3, seed=7) == classes
    planes = np.moveaxis(IMAGE, -1, 0)
    assert fit(planes, names=NAMES, channel_axis=0) == fit(names=NAMES)


def test_the_method_is_that_of_fit_mixture() -> None:
    """Each class has the mixture that its pixels alone have, with the same options."""
    options: dict[str, Any] = {
        "covariance_type": "full",
        "tolerance": 1e-6,
        "n_starts": 2,
        "variance_floor": 2.0,
    }
    classes = fit(names=NAMES, n_kernels=[1, 2], **options)
    for label, name in NAMES.items():
        alone = fit_mixture(IMAGE, [1, 2], mask=label == LABELS, progress="none", **options)
        assert classes[name] == alone
        assert classes[name].fit is not None
        assert classes[name].fit.image == f"{name} in the image"


def test_channels_are_put_into_the_order_of_the_classes(tmp_path: Path) -> None:
    """An image with named channels is scored in the order that the classes name."""
    tifffile.imwrite(tmp_path / "x.tif", IMAGE, photometric="rgb")
    classes = fit(tmp_path / "x.tif", names=NAMES)
    assert classes.channels == ("red", "green", "blue")
    turned = Classes(
        {
            name: Mixture(one.weights, one.means[:, ::-1], one.covariances[:, ::-1], ["blue", "green", "red"])
            for name, one in classes.items()
        },
        classes.priors,
    )
    wanted = score(classes, names=NAMES)
    for found in (
        score(classes, tmp_path / "x.tif", names=NAMES),
        score(turned, tmp_path / "x.tif", names=NAMES),
    ):
        np.testing.assert_array_equal(found.confusion, wanted.confusion)


def test_no_client() -> None:
    """The client is that of the pass."""
    for call in (fit, lambda client: score(fit(), client=client)):
        with pytest.raises(TypeError, match=r"client is 3; wanted a distributed\.Client"):
            call(client=3)


def test_a_plain_mapping_has_equal_priors() -> None:
    """Without priors, classes are scored as if they were equally probable."""
    classes = fit(names=NAMES)
    assert score(dict(classes), names=NAMES).priors == (1 / 3, 1 / 3, 1 / 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": np.zeros(EXTENT, int)}, "no pixel with data has a label other than 0"),
        ({"mask": np.zeros(EXTENT)}, "no pixel with data has a label other than 0"),
        ({"labels": LABELS.astype(int) - 1}, "the labels hold -1; wanted positive integers"),
        ({"labels": LABELS / 2}, "labels have dtype float64; wanted integers"),
        ({"names": {1: "a", 2: "b"}}, "the labels hold 5, which has no name; wanted 1, 2. Name it"),
        ({"names": {**NAMES, 9: "hair"}}, "the class 'hair' has no pixels with data to fit to"),
        ({"n_kernels": 0}, "n_kernels is 0"),
        ({"n_kernels": 5000}, "class '1': got 5000 kernels for 4[0-9]* colors"),
        ({"priors": {"1": 0.5}}, "priors are given for 1; wanted one for each of 1, 2, 5"),
        ({"covariance_type": "round"}, "covariance_type is 'round'"),
        ({"held_out": 1.0}, "the class '1' has no pixels with data to fit to"),
        *(
            ({"held_out": share}, f"held_out is {share}; wanted a share from 0 to 1, in steps of 0.05")
            for share in (-0.05, 1.05, 0.01, 0.12, float("nan"))
        ),
    ],
)
def test_wrong_arguments_of_a_fit(options: dict[str, Any], message: str) -> None:
    """The message names what is wrong."""
    with pytest.raises(ValueError, match=message):
        fit(**options)


@pytest.mark.parametrize("names", [{"1": "a"}, {1: 2}, ["a"], {1.5: "a"}])
def test_names_that_are_no_names_of_labels(names: Any) -> None:
    """Names that are numbers or belong to texts are refused before anything is counted."""
    with pytest.raises(TypeError, match=r"wanted the name of each label, as \{1: 'tumor'\}"):
        fit(names=names)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "the labels name '1', '2', '5'; wanted the classes ground, high grass, ü, sky"),
        ({"names": {**NAMES, 5: "air"}}, "the labels name 'air'; wanted the classes"),
        ({"names": {1: "ground"}}, "the labels hold 2, which has no name"),
        ({"names": NAMES, "labels": np.where(LABELS == 5, 0, LABELS)}, "sky"),
        ({"names": NAMES, "held_out": 0.0}, "no labeled pixel of the scored part has data"),
        ({"names": NAMES, "held_out": 1.5}, "held_out is 1.5"),
        ({"names": NAMES, "image": IMAGE[..., :2]}, "channels"),
        ({"names": NAMES, "seed": -1}, "seed is -1"),
    ],
)
def test_wrong_arguments_of_scores(options: dict[str, Any], message: str) -> None:
    """The message names what is wrong."""
    with pytest.raises(ValueError, match=message):
        score(fit(names=NAMES), **options)
