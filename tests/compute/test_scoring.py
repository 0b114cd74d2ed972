"""Tests of scores, against scikit-learn with weights and with every pixel for itself."""

from __future__ import annotations

import json
import math
import pickle
from typing import Any

import numpy as np
import pytest
from arrays import evaluate_array
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    cohen_kappa_score,
    confusion_matrix,
    log_loss,
    precision_recall_curve,
    precision_recall_fscore_support,
    roc_auc_score,
    roc_curve,
)

from pipeline import Label, LogDensity, LogRatio, load_model
from pipeline.compute.scoring import Scores

PRIORS = (0.5, 1.5, 2.0, 1.0)


def random_samples(seed: int, n_classes: int, n_samples: int = 60) -> dict[str, Any]:
    """Return samples of each class, of which some have the same logarithms."""
    random = np.random.default_rng(seed)
    truth = np.concatenate([np.arange(n_classes), random.integers(0, n_classes, n_samples - n_classes)])
    log_joint = random.integers(-3, 3, (n_samples, n_classes)) / 2
    log_joint[np.arange(n_samples), truth] += random.integers(0, 3, n_samples)
    return {
        "names": tuple("abcd"[:n_classes]),
        "priors": PRIORS[:n_classes],
        "log_joint": log_joint,
        "truth": truth,
        "counts": random.integers(1, 6, n_samples),
        "groups": random.integers(0, 4, n_samples),
    }


@given(st.integers(0, 2**32), st.integers(2, 4))
def test_scores_are_those_of_scikit_learn(seed: int, n_classes: int) -> None:
    """Every number equals scikit-learn's, whether pixels are counted or repeated."""
    samples = random_samples(seed, n_classes)
    scores = Scores.from_samples(**samples)
    logs, truth, counts = samples["log_joint"], samples["truth"], samples["counts"]
    labels = list(range(n_classes))
    for repeats, weights in ((np.ones_like(counts), counts), (counts, None)):
        known, joint = np.repeat(truth, repeats), np.repeat(logs, repeats, axis=0)
        found, weighted = joint.argmax(axis=1), {"sample_weight": weights}
        wanted = confusion_matrix(known, found, labels=labels, **weighted)
        np.testing.assert_array_equal(scores.confusion, wanted)
        assert scores.n_pixels == counts.sum()
        assert scores.accuracy == pytest.approx(accuracy_score(known, found, **weighted))
        kappa = cohen_kappa_score(known, found, labels=labels, **weighted)
        assert scores.kappa == pytest.approx(kappa, abs=1e-12)
        by_class = precision_recall_fscore_support(
            known, found, labels=labels, zero_division=np.nan, **weighted
        )
        for got, numbers in zip((scores.precision, scores.recall, scores.f1), by_class[:3], strict=True):
            assert tuple(got) == samples["names"]
            np.testing.assert_allclose(list(got.values()), numbers, rtol=1e-12)
        posteriors = np.exp(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True))
        loss = log_loss(known, posteriors, labels=labels, **weighted)
        assert scores.mean_log_loss == pytest.approx(loss, rel=1e-12)


@given(st.integers(0, 2**32), st.integers(2, 4))
def test_curves_of_each_class(seed: int, n_classes: int) -> None:
    """A class is compared with the mixture of all others, and its curves and area are scikit-learn's."""
    samples = random_samples(seed, n_classes)
    scores = Scores.from_samples(**samples)
    for number, name in enumerate(samples["names"]):
        roc, curve = scores.roc(name), scores.precision_recall(name)
        is_class = samples["truth"] == number
        others = np.arange(n_classes) != number
        priors = np.array(samples["priors"])
        joint = np.exp(samples["log_joint"])
        rest = joint[:, others].sum(axis=1) / priors[others].sum()
        # Ratios that tie are rounded, so that they do here as well.
        ratio = np.log(joint[:, number] / priors[number] / rest).round(9)
        weighted = {"sample_weight": samples["counts"]}
        alarms, detections, thresholds = roc_curve(is_class, ratio, drop_intermediate=False, **weighted)
        np.testing.assert_allclose(np.unique(roc.thresholds.round(9)), thresholds[::-1], atol=2e-9)
        # Steps whose scores differ only by rounding are one.
        last = np.append(np.flatnonzero(np.diff(roc.thresholds) < -1e-8), len(roc.thresholds) - 1)
        np.testing.assert_allclose(roc.false_alarm_rate[last], alarms, rtol=1e-12)
        np.testing.assert_allclose(roc.detection_rate[last], detections, rtol=1e-12)
        precision, recall, _ = precision_recall_curve(is_class, ratio, **weighted)
        np.testing.assert_allclose(curve.precision[last], precision[::-1], rtol=1e-12)
        np.testing.assert_allclose(curve.recall[last], recall[::-1], rtol=1e-12)
        if len(last) == len(roc.thresholds):
            assert scores.auc(name) == pytest.approx(roc_auc_score(is_class, ratio, **weighted), rel=1e-12)


def test_the_first_of_two_classes_is_the_default() -> None:
    """Without a name the first of two classes is meant; with more classes a name is wanted."""
    scores = Scores.from_samples(**random_samples(0, 2))
    for got, wanted in zip(scores.roc(), scores.roc("a"), strict=True):
        np.testing.assert_array_equal(got, wanted)
    for got, wanted in zip(scores.precision_recall(), scores.precision_recall("a"), strict=True):
        np.testing.assert_array_equal(got, wanted)
    assert scores.auc() == scores.auc("a") == pytest.approx(scores.auc("b"))
    assert scores.auc_interval() == scores.auc_interval("a", 0.95)
    assert scores.threshold(costs=(1, 2)) == scores.threshold("a", costs=(1, 2))
    more = Scores.from_samples(**random_samples(0, 3))
    for refused in (more.roc, more.precision_recall, more.auc, more.auc_interval):
        with pytest.raises(ValueError, match="name is None; wanted one of the classes a, b, c"):
            refused()
    with pytest.raises(ValueError, match="name is 'd'; wanted one of the classes a, b, c"):
        more.auc("d")


def test_intervals_are_wider_at_a_higher_level() -> None:
    """An interval of a higher level contains one of a lower level, and both contain the area."""
    scores = Scores.from_samples(**random_samples(0, 3))
    ends = [scores.auc_interval("b", level) for level in (0.5, 0.9, 0.99)]
    lows, highs = zip(*ends, strict=True)
    assert 0 < lows[2] < lows[1] < lows[0] < scores.auc("b") < highs[0] < highs[1] < highs[2] < 1


@given(st.integers(0, 2**32), st.floats(0, 1))
def test_the_threshold_of_a_false_alarm_rate(seed: int, rate: float) -> None:
    """The threshold keeps to the rate, and the next lower score wouldn't."""
    samples = random_samples(seed, 2)
    scores, logs = Scores.from_samples(**samples), samples["log_joint"] - np.log(samples["priors"])
    ratio = (logs[:, 0] - logs[:, 1]).round(9)
    rest = samples["truth"] == 1
    threshold = scores.threshold(false_alarm_rate=rate)
    assert isinstance(threshold, float)

    def rate_of(lowest: float) -> float:
        return float(np.average(ratio[rest] >= lowest - 1e-8, weights=samples["counts"][rest]))

    assert rate_of(threshold) <= rate
    if (lower := ratio[ratio < threshold - 1e-8]).size:
        assert rate_of(lower.max()) > rate


def test_no_threshold_keeps_to_the_rate() -> None:
    """If a pixel of the rest has the highest score, the threshold of no false alarms is infinite."""
    samples = random_samples(0, 2)
    samples["log_joint"][samples["truth"] == 1] = 5, -5
    scores = Scores.from_samples(**samples)
    assert scores.threshold(false_alarm_rate=0) == math.inf
    assert scores.threshold(false_alarm_rate=1) == scores.roc().thresholds[-1]


def test_a_threshold_of_costs_is_that_of_the_priors() -> None:
    """The threshold of costs doesn't depend on the samples; that of equal costs parts the labels of two."""
    samples = random_samples(0, 2)
    scores, others = Scores.from_samples(**samples), Scores.from_samples(**random_samples(1, 2))
    assert scores.threshold(costs=(3, 1)) == others.threshold(costs=(3, 1)) == pytest.approx(math.log(9))
    assert scores.threshold("b", costs=(3, 1)) == pytest.approx(0)
    assert Scores.from_samples(**random_samples(0, 4)).threshold("c", costs=(1, 1)) == pytest.approx(
        math.log(1.5)
    )
    ratio = np.diff(samples["log_joint"] - np.log(samples["priors"]), axis=1)[:, 0]
    is_second = ratio >= scores.threshold("b", costs=(1, 1)) + 1e-9
    np.testing.assert_array_equal(is_second, samples["log_joint"].argmax(axis=1) == 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "false_alarm_rate is None and costs are None; wanted one of the two"),
        ({"false_alarm_rate": 0.1, "costs": (1, 2)}, r"rate is 0.1 and costs are \(1, 2\); wanted one of"),
        ({"false_alarm_rate": -0.1}, "false_alarm_rate is -0.1; wanted a number from 0 to 1"),
        ({"false_alarm_rate": 5}, "false_alarm_rate is 5; wanted a number from 0 to 1"),
        ({"false_alarm_rate": math.nan}, "false_alarm_rate is nan; wanted a number from 0 to 1"),
        ({"costs": (1, 0)}, r"costs are \(1, 0\); wanted two positive numbers"),
    ],
)
def test_thresholds_that_are_refused(arguments: dict[str, Any], message: str) -> None:
    """Exactly one way to choose the threshold is wanted."""
    scores = Scores.from_samples(**random_samples(0, 2))
    with pytest.raises(ValueError, match=message):
        scores.threshold(**arguments)


def test_predictions_and_thresholds_are_those_of_the_results() -> None:
    """The predicted class is that of Label, and a threshold parts the log-ratios that a store holds."""
    models = {"skin": load_model("jones-rehg-skin"), "other": load_model("jones-rehg-nonskin")}
    priors, random = (0.3, 0.7), np.random.default_rng(0)
    colors = random.integers(0, 256, (800, 3)).astype(np.uint8)
    densities = [evaluate_array(colors, LogDensity(model), dtype="float64") for model in models.values()]
    truth, counts = random.integers(0, 2, 800), random.integers(1, 9, 800)
    joint = np.stack(densities, axis=1) + np.log(priors)
    scores = Scores.from_samples(tuple(models), priors, joint, truth, counts, random.integers(0, 5, 800))
    labels = evaluate_array(colors, Label(models, priors))
    wanted = confusion_matrix(truth, labels, sample_weight=counts)
    np.testing.assert_array_equal(scores.confusion, wanted)
    # A result is float32, and so is a threshold that NumPy compares with it.
    stored = evaluate_array(colors, LogRatio(*models.values()))
    is_skin = stored >= scores.threshold(false_alarm_rate=0.2)
    assert stored.dtype == np.float32
    rate = np.average(is_skin[truth == 1], weights=counts[truth == 1])
    curve = scores.roc()
    assert rate == pytest.approx(curve.false_alarm_rate[curve.false_alarm_rate <= 0.2].max(), rel=1e-12)


def test_a_class_that_is_never_predicted() -> None:
    """Its precision isn't defined, its recall and F1 are 0, and reports say so."""
    samples = random_samples(0, 3)
    samples["log_joint"][:, 2] -= 100
    scores = Scores.from_samples(**samples)
    assert math.isnan(scores.precision["c"])
    assert (scores.recall["c"], scores.f1["c"]) == (0, 0)
    assert scores.to_dict()["classes"][2]["precision"] is None
    assert str(scores).splitlines()[5].split()[:4] == ["c", "none", "0.0000", "0.0000"]


def test_scores_as_text() -> None:
    """A table has a line for each class, and the pixels by true and predicted class."""
    scores = Scores.from_samples(**random_samples(0, 3))
    lines = str(scores).splitlines()
    assert lines[0] == (
        f"accuracy {scores.accuracy:.4f}, kappa {scores.kappa:.4f}, {scores.n_pixels} held-out pixels"
    )
    assert lines[2].split() == ["class", "precision", "recall", "F1", "AUC", "95%", "interval"]
    for line, name in zip(lines[3:6], "abc", strict=True):
        low, high = scores.auc_interval(name)
        numbers = scores.precision[name], scores.recall[name], scores.f1[name], scores.auc(name), low
        assert line.split() == [name, *(f"{one:.4f}" for one in numbers), "to", f"{high:.4f}"]
    assert lines[8].split() == ["true", "class", "a", "b", "c"]
    for line, name, row in zip(lines[9:], "abc", scores.confusion.tolist(), strict=True):
        assert line.split() == [name, *map(str, row)]
    assert len({len(line) for line in lines[2:6]}) == len({len(line) for line in lines[8:]}) == 1
    one_group = Scores.from_samples(**{**random_samples(0, 3), "groups": np.zeros(60, int)})
    assert str(one_group).splitlines()[3].endswith("  unknown")


def test_scores_in_a_notebook() -> None:
    """The names of classes are text, not markup."""
    scores = Scores.from_samples(**{**random_samples(0, 2), "names": ("<b>", "b")})
    assert scores._repr_html_().startswith("<p>accuracy")
    assert "&lt;b&gt;" in scores._repr_html_()
    assert "<b>" not in scores._repr_html_()
    assert scores._repr_html_().count("<table>") == 2
    for number in (f"{scores.recall['b']:.4f}", *map(str, scores.confusion.ravel())):
        assert f">{number}</td>" in scores._repr_html_()


def test_scores_as_json() -> None:
    """What to_dict returns survives JSON, and has no interval where none can be computed."""
    scores = Scores.from_samples(**random_samples(0, 2))
    content = scores.to_dict()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content["n_pixels"] == scores.n_pixels
    assert (content["accuracy"], content["kappa"]) == (scores.accuracy, scores.kappa)
    assert content["mean_log_loss"] == scores.mean_log_loss
    assert content["confusion"] == scores.confusion.tolist()
    assert content["classes"][1] == {
        "name": "b",
        "prior": PRIORS[1],
        "precision": scores.precision["b"],
        "recall": scores.recall["b"],
        "f1": scores.f1["b"],
        "auc": scores.auc("b"),
        "auc_interval": list(scores.auc_interval("b")),
    }
    one_group = Scores.from_samples(**{**random_samples(0, 2), "groups": np.zeros(60, int)})
    assert one_group.to_dict()["classes"][0]["auc_interval"] is None


def test_scores_travel() -> None:
    """Scores can be pickled, and show neither samples nor logarithms."""
    scores = Scores.from_samples(**random_samples(0, 3))
    copy = pickle.loads(pickle.dumps(scores))  # noqa: S301  made here
    assert str(copy) == str(scores)
    assert "log_joint" not in repr(scores)
