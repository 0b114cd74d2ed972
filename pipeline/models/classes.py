"""Classes as data: named mixtures with priors, JSON, and conversion from and to scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.models.json_file import CLASSES, load_json, save_json
from pipeline.models.mixture import Mixture
from pipeline.models.mixture_html import classes_html
from pipeline.models.quantity import check_same_channels
from pipeline.models.sklearn_classifiers import classifier_parameters, sklearn_classifier
from pipeline.models.sklearn_pipelines import feature_names

if TYPE_CHECKING:
    import os

    from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
    from sklearn.naive_bayes import GaussianNB

# So many names of classes are shown.
_SHOWN = 4


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Classes(Mapping[str, Mixture]):
    """Named mixtures over the same channels, with the prior probabilities of the classes.

    Parameters
    ----------
    mixtures : mapping of str to Mixture
        The names of the classes and their mixtures. Their order numbers the labels.
    priors : mapping of str to float or sequence of float, optional
        One positive number for each class. They are kept as given and need not sum to 1. By default they are
        equal, or those of `mixtures` if these are Classes.

    Attributes
    ----------
    priors : tuple of float
        The priors in the order of the classes.

    Raises
    ------
    TypeError
        If a class isn't a name and a mixture, or the priors aren't numbers.
    ValueError
        If there is no class, if the classes have different channels, or if there isn't one positive, finite
        prior for each class.

    Notes
    -----
    Classes are an immutable mapping. They are equal if names, mixtures, order and priors are equal.
    """

    priors: tuple[float, ...]
    _mixtures: dict[str, Mixture]

    def __init__(
        self,
        mixtures: Mapping[str, Mixture],
        priors: Mapping[str, float] | Sequence[float] | None = None,
    ) -> None:
        _check_mixtures(mixtures)
        if priors is not None:
            given = _check_priors(priors, tuple(mixtures))
        elif isinstance(mixtures, Classes):
            given = mixtures.priors
        else:
            given = (1 / len(mixtures),) * len(mixtures)
        object.__setattr__(self, "priors", given)
        object.__setattr__(self, "_mixtures", dict(mixtures))

    @classmethod
    def from_sklearn(cls, model: Any, channels: Sequence[str] | None = None) -> Classes:  # noqa: ANN401  duck-typed
        r"""Make classes from a classifier that scikit-learn fitted.

        Parameters
        ----------
        model : GaussianNB, QuadraticDiscriminantAnalysis, LinearDiscriminantAnalysis or Pipeline
            A fitted classifier, or a pipeline of one after steps that :meth:`Mixture.from_sklearn` lists.
        channels : sequence of str, optional
            The names of the columns that the model was fitted to; by default its ``feature_names_in_``.

        Returns
        -------
        Classes
            One kernel for each class, which is diagonal for a GaussianNB without a PCA before it, and full
            otherwise. The names are those of ``classes_`` as text, and the priors are those of the model.
            :class:`Posterior` then gives ``predict_proba``, and :class:`Label` the numbers of what
            ``predict`` gives.

        Raises
        ------
        TypeError
            If the argument isn't such a model, or a step of the pipeline isn't one of those listed.
        ValueError
            If the model isn't fitted, a step can't be folded in, two classes have the same name, a prior is
            0, or a covariance isn't positive definite.

        Notes
        -----
        The mixtures are densities over the pixels themselves, in their units, also for a pipeline.

        A linear discriminant analysis has one covariance for all classes. The solvers "lsqr" and "eigen"
        store the one that they use, after shrinkage. The solver "svd" uses the pooled covariance within the
        classes, but stores its inverse only within the space that the means span, as ``scalings_`` (Hastie,
        Tibshirani and Friedman, The Elements of Statistical Learning, section 4.3.3). Posteriors depend on
        nothing else.
        With the columns A of ``scalings_`` and the columns B that span the means, where
        :math:`A^T B = I`, the covariance is taken to be

        .. math:: S = B B^T + N, \quad N A = 0,

        where N is the stored ``covariance_`` in the other directions if the model was made with
        ``store_covariance=True``. Otherwise N is isotropic in these directions, with the mean variance of
        :math:`B B^T`: densities and log-densities then have no meaning of their own.
        """
        names, priors, means, covariances = classifier_parameters(model)
        if len(set(names)) < len(names):
            raise ValueError(f"the classes are {', '.join(names)}; wanted a name of its own for each class")
        columns = feature_names(model) if channels is None else channels
        mixtures = {}
        for name, mean, covariance in zip(names, means, covariances, strict=True):
            try:
                mixtures[name] = Mixture([1.0], [mean], [covariance], columns)
            except ValueError as error:
                raise ValueError(f"class {name!r}: {error}") from None
        return cls(mixtures, priors)

    def to_sklearn(self) -> GaussianNB | QuadraticDiscriminantAnalysis:
        """Return the classes as a scikit-learn classifier that counts as fitted.

        Returns
        -------
        sklearn.naive_bayes.GaussianNB or sklearn.discriminant_analysis.QuadraticDiscriminantAnalysis
            The first if all kernels are diagonal. The priors of the model are those of the classes times the
            weights of the kernels, which need not sum to 1: ``predict_proba`` divides by their sum.

        Raises
        ------
        ModuleNotFoundError
            If scikit-learn isn't installed.
        ValueError
            If a class has several kernels, which these classifiers can't have.

        Notes
        -----
        Pass pixels to the model as floats: scikit-learn computes in the dtype of the pixels, where small
        integers overflow.
        """
        return sklearn_classifier(self, self.priors)

    @property
    def channels(self) -> tuple[str, ...] | None:
        """The names of the channels, or None if no mixture names them."""
        return next((mixture.channels for mixture in self.values() if mixture.channels), None)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the classes as JSON, which :meth:`load` reads back exactly.

        Parameters
        ----------
        path : path-like
            The file to write. An existing file is replaced in one step, and is left as it was if writing
            fails.
        """
        save_json(path, self.to_dict(with_fit=True))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Classes:
        """Read classes from JSON.

        Parameters
        ----------
        path : path-like
            A file that :meth:`save` wrote, or one of the same schema.

        Returns
        -------
        Classes

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file isn't JSON of this schema and version, or its content doesn't make classes.
        """
        return load_json(path, cls.from_dict)

    def to_dict(self, *, with_fit: bool = False) -> dict[str, Any]:
        """Return the classes as plain lists and numbers, which JSON can hold.

        Parameters
        ----------
        with_fit : bool
            Whether to tell how each mixture was fitted, if that is known.
        """
        entries = class_entries(self, with_fit=with_fit)
        return {**CLASSES.header(), "classes": entries, "priors": list(self.priors)}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Classes:
        """Make classes from the content that :meth:`to_dict` returned.

        Raises
        ------
        ValueError
            If the content isn't of this schema and version, or doesn't make classes.
        """
        CLASSES.check(content)
        if not isinstance(content["priors"], list):
            raise ValueError(f"priors are {content['priors']!r:.80}; wanted a list of numbers")  # noqa: TRY004  a file's content
        try:
            return cls(read_classes(content["classes"]), content["priors"])
        except TypeError as error:
            raise ValueError(str(error)) from None

    def __getitem__(self, name: str) -> Mixture:
        return self._mixtures[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._mixtures)

    def __len__(self) -> int:
        return len(self._mixtures)

    def __eq__(self, other: object) -> bool:
        return self._identity == other._identity if isinstance(other, Classes) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[object, ...]:
        return (tuple(self.items()), self.priors)

    def __repr__(self) -> str:
        shown = ", ".join(list(self)[:_SHOWN]) + (", ..." if len(self) > _SHOWN else "")
        first = next(iter(self.values()))
        names = f"{first.n_channels} channels" if self.channels is None else ", ".join(self.channels)
        return f"<Classes: {len(self)} ({shown}) over {names}>"

    def _repr_html_(self) -> str:
        return classes_html(self)

    def __reduce__(self) -> tuple[type[Classes], tuple[object, ...]]:
        return Classes, (self._mixtures, self.priors)


def class_entries(classes: Mapping[str, Mixture], *, with_fit: bool = False) -> list[dict[str, Any]]:
    """Return named mixtures as plain lists and numbers, with how they were fitted if that is asked for.

    This is a list, because labels are numbered by the order of the classes.
    """
    return [
        {"name": name, "mixture": mixture.to_dict(with_fit=with_fit)} for name, mixture in classes.items()
    ]


def read_classes(entries: Any) -> dict[str, Mixture]:  # noqa: ANN401  a JSON file may hold anything
    """Make the named mixtures from what :func:`class_entries` returned.

    Raises
    ------
    TypeError
        If this isn't a list of names with mixtures.
    ValueError
        If two names are equal, or an entry has no mixture of the schema of :meth:`Mixture.load`.
    """
    if not isinstance(entries, list):
        raise TypeError(f"classes are {entries!r:.80}; wanted a list of names with mixtures")
    named: dict[str, Mixture] = {}
    for entry in entries:
        name, mixture = (entry.get(key) if isinstance(entry, dict) else None for key in ("name", "mixture"))
        if not isinstance(name, str):
            raise TypeError(f'a class is {entry!r:.80}; wanted an object with "name" and "mixture"')
        if name in named:
            raise ValueError(f"there are two classes {name!r}; wanted different names")
        try:
            named[name] = Mixture.from_dict(mixture if isinstance(mixture, dict) else {})
        except ValueError as error:
            raise ValueError(f"class {name!r}: {error}") from None
    return named


def _check_mixtures(mixtures: Any) -> None:  # noqa: ANN401  a caller may pass anything
    if not isinstance(mixtures, Mapping) or not mixtures:
        raise ValueError(
            f"classes are {mixtures!r:.80}; wanted at least one name and its mixture, as {{'skin': mixture}}"
        )
    for name, mixture in mixtures.items():
        if not isinstance(name, str) or not isinstance(mixture, Mixture):
            raise TypeError(f"class {name!r} is {mixture!r:.80}; wanted a name and a Mixture")
    check_same_channels(tuple(mixtures.values()))


def _check_priors(priors: Any, names: tuple[str, ...]) -> tuple[float, ...]:  # noqa: ANN401  a caller may pass anything
    if isinstance(priors, Mapping):
        if set(priors) != set(names):
            raise ValueError(
                f"priors are given for {', '.join(map(str, priors))}; wanted one for each of "
                f"{', '.join(names)}"
            )
        priors = [priors[name] for name in names]
    try:
        values = tuple(float(prior) for prior in priors)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(
            f"priors are {priors!r:.80}; wanted a positive number for each of {', '.join(names)}"
        ) from None
    if len(values) != len(names):
        raise ValueError(f"got {len(values)} priors for {len(names)} classes; wanted one for each class")
    for name, prior in zip(names, values, strict=True):
        if not (prior > 0 and math.isfinite(prior)):
            raise ValueError(
                f"the prior of class {name!r} is {prior:g}; wanted a positive number. To exclude the class, "
                "leave it out."
            )
    return values
