"""Tests of the record of a fit: its criteria, its numbers of parameters, and what it refuses."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from pipeline import Classes, Density, Fit, Label, Mixture
from pipeline.models.fit import count_parameters

if TYPE_CHECKING:
    from pathlib import Path

FIT = Fit(
    image="slide.tif",
    n_pixels=2_500_000,
    n_colors=1234,
    is_exact=True,
    covariance_type="diag",
    variance_floor=1 / 12,
    n_starts=4,
    seed=0,
    tolerance=1e-4,
    n_iterations=17,
    is_converged=True,
    n_parameters=13,
    log_likelihood=-12.25,
    version="0.1.0",
    date="2026-01-31T12:00:00+00:00",
)
PARAMETERS: tuple[Any, ...] = ([1.0], [[1.0, 2.0]], [[3.0, 4.0]], ("a", "b"))
MIXTURE = Mixture(*PARAMETERS, FIT)


@pytest.mark.parametrize("n_channels", [1, 2, 5])
@pytest.mark.parametrize("n_kernels", [1, 3])
@pytest.mark.parametrize("kind", ["diag", "full", "spherical", "tied"])
def test_criteria_are_those_of_scikit_learn(kind: Any, n_kernels: int, n_channels: int) -> None:
    """BIC, AIC and the number of parameters are scikit-learn's, for the same pixels and log-likelihood."""
    pixels = np.random.default_rng(0).normal(size=(200, n_channels))
    model = GaussianMixture(n_kernels, covariance_type=kind, random_state=0).fit(pixels)
    number = count_parameters(n_kernels, n_channels, kind)
    assert number == model._n_parameters()
    fit = replace(FIT, n_pixels=200, n_parameters=number, log_likelihood=float(model.score(pixels)))
    assert fit.bic == pytest.approx(model.bic(pixels), rel=1e-12)
    assert fit.aic == pytest.approx(model.aic(pixels), rel=1e-12)


def test_json_and_pickle_keep_it() -> None:
    """A record comes back from JSON and from another process as it was."""
    assert Fit.from_dict(json.loads(json.dumps(FIT.to_dict()))) == FIT
    assert pickle.loads(pickle.dumps(FIT)) == FIT  # noqa: S301  made here
    assert pickle.loads(pickle.dumps(MIXTURE)).fit == FIT  # noqa: S301  the same


def test_whole_numbers_stand_for_floats() -> None:
    """Other programs write 1.0 as 1."""
    assert Fit.from_dict({**FIT.to_dict(), "tolerance": 1}).tolerance == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": True}, "the record of a fit has seed = True; wanted int"),
        ({"seed": 1.0}, "seed = 1.0; wanted int"),
        ({"is_exact": 1}, "is_exact = 1; wanted bool"),
        ({"image": None}, "image = None; wanted str"),
        ({"log_likelihood": "-1"}, "log_likelihood = '-1'; wanted float"),
        ({"log_likelihood": math.nan}, "log_likelihood = nan; wanted a finite number"),
        ({"variance_floor": math.inf}, "variance_floor = inf; wanted a finite number"),
        ({"n_pixels": 0}, "n_pixels = 0; wanted at least 1"),
        ({"n_pixels": 2**63}, "n_pixels = 9223372036854775808; wanted a number less than 2"),
        ({"log_likelihood": 10**400}, "log_likelihood = 10{79}; wanted a number less than 2"),
        ({"more": 1}, "not the record of a fit: .*slide"),
    ],
)
def test_damage_is_refused(change: dict[str, Any], message: str) -> None:
    """The message names what is wrong."""
    with pytest.raises(ValueError, match=message):
        Fit.from_dict({**FIT.to_dict(), **change})


@pytest.mark.parametrize("content", [None, 3, [], "fit", {}, {"image": "x"}])
def test_anything_else_is_refused(content: Any) -> None:
    """JSON may hold anything."""
    with pytest.raises(ValueError, match="not the record of a fit: "):
        Fit.from_dict(content)


def test_files_keep_it_and_stores_dont(tmp_path: Path) -> None:
    """Files of mixtures and of classes tell how they were fitted; what quantities record doesn't."""
    MIXTURE.save(tmp_path / "mixture.json")
    loaded = Mixture.load(tmp_path / "mixture.json")
    assert loaded == MIXTURE
    assert loaded.fit == FIT
    classes = Classes({"one": MIXTURE, "other": Mixture(*PARAMETERS)})
    classes.save(tmp_path / "classes.json")
    assert [one.fit for one in Classes.load(tmp_path / "classes.json").values()] == [FIT, None]
    for content in (MIXTURE, classes, Density(MIXTURE), Label(classes)):
        assert "log_likelihood" not in json.dumps(content.to_dict())


def test_files_without_it_are_read(tmp_path: Path) -> None:
    """Files of earlier versions have no record; a damaged one is refused with the name of the file."""
    path = tmp_path / "mixture.json"
    Mixture(*PARAMETERS).save(path)
    assert "fit" not in json.loads(path.read_text(encoding="utf-8"))
    assert Mixture.load(path).fit is None
    path.write_text(json.dumps({**MIXTURE.to_dict(), "fit": {"image": 3}}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"mixture\.json.*not the record of a fit"):
        Mixture.load(path)


def test_equality_ignores_it() -> None:
    """Two mixtures of the same parameters are equal, however they came about."""
    plain = Mixture(*PARAMETERS)
    assert plain == MIXTURE
    assert hash(plain) == hash(MIXTURE)
    assert Mixture(*PARAMETERS, replace(FIT, seed=1)) == MIXTURE


def test_what_it_shows() -> None:
    """The text says to what the mixture was fitted, in how many steps, and how well."""
    assert str(FIT) == (
        "fitted to 1234 colors of 2500000 pixels of slide.tif, 17 steps: mean log-likelihood -12.2500 nats, "
        f"BIC {FIT.bic:.6g}, AIC {FIT.aic:.6g}"
    )
    other = replace(FIT, is_exact=False, n_iterations=1, is_converged=False)
    assert "fitted to a sample of 1234 of 2500000 pixels of slide.tif, 1 step, not converged: " in str(other)
    assert "fitted to 1 color of" in str(replace(FIT, n_colors=1))


def test_what_a_notebook_shows() -> None:
    """A table has the numbers of the text, and how they came about; the name of the image is text."""
    page = replace(FIT, image="<b>.tif", is_converged=False, is_exact=False)._repr_html_()
    for text in (
        "&lt;b&gt;.tif",
        "17, not converged",
        "-12.2500 nats",
        f"{FIT.bic:.6g}",
        "colors of a sample",
    ):
        assert f">{text}</t" in page
    assert "<b>" not in page
