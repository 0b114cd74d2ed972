"""Channels of a source: chosen by name or number, and put into a model's order."""

from __future__ import annotations

import operator
import warnings
from typing import TYPE_CHECKING

from pipeline.images.pixels import check_pixels, count_channels
from pipeline.images.view import view

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.images.source import Source

_ALPHA = "alpha"
# A gray image has no order of channels that could be mistaken: its channel may be any model's only one.
_GRAY = ("gray",)


def add_alpha(source: Source, name: str) -> Source:
    """Return a source with its alpha channel as the last one.

    Parameters
    ----------
    source : Source
    name : str
        The name of the image in messages.

    Returns
    -------
    Source

    Raises
    ------
    ValueError
        If it has no alpha channel, or nothing else.
    """
    whole = source.with_alpha()
    if whole is None:
        raise ValueError(f"{name} has no alpha channel. Open it without 'alpha' as a mask or a channel.")
    if whole.shape[2] < 2:  # noqa: PLR2004  a channel, and alpha
        raise ValueError(
            f"mask is 'alpha', but the image has {count_channels(whole.shape[2])}; wanted alpha behind others"
        )
    return whole


def choose_channels(source: Source, wanted: tuple[str | int, ...], *, name: str, has_alpha: bool) -> Source:
    """Return the source of the channels that a caller names or numbers, in that order.

    Parameters
    ----------
    source : Source
    wanted : tuple of str or int
    name : str
        The name of the image in messages.
    has_alpha : bool
        Whether the last channel is an alpha channel that masks the image; it stays the last one.

    Returns
    -------
    Source

    Raises
    ------
    TypeError, ValueError
        If the image has no channel of such a name or number.
    """
    if _ALPHA in wanted and source.channels is None:
        # A file can have alpha beside samples without names. An array doesn't say whether it has alpha.
        whole = source.with_alpha()
        if whole is not None and whole is not source:
            alpha, source = whole.shape[2] - 1, whole
            wanted = tuple(alpha if channel == _ALPHA else channel for channel in wanted)
    elif _ALPHA in wanted and _ALPHA not in (source.channels or ()):
        source = add_alpha(source, name)
    n_channels = source.shape[2] - has_alpha
    chosen = [_number_of(channel, source.channels, n_channels, name) for channel in wanted]
    return view(source, channels=(*chosen, *([n_channels] if has_alpha else [])))


def fit_channels(
    source: Source, n_channels: int, channels: tuple[str, ...], *, name: str, has_alpha: bool
) -> Source:
    """Return a source with a model's channels in the model's order, after checking that it has them.

    Parameters
    ----------
    source : Source
    n_channels : int
        The number of channels of the model.
    channels : tuple of str
        Their names; empty if the model doesn't name them.
    name : str
        The name of the image in messages.
    has_alpha : bool
        Whether the last channel is an alpha channel that masks the image; it stays the last one.

    Returns
    -------
    Source

    Raises
    ------
    ValueError
        If the image lacks the model's channels.
    """
    stored = source.channels
    if _ALPHA in channels and stored is not None and _ALPHA not in stored:
        whole = source.with_alpha()
        if whole is not None and sorted(whole.channels or ()) == sorted(channels):
            source = whole
        elif whole is None and sorted([*stored, _ALPHA]) == sorted(channels):
            raise ValueError(
                f"{name} has no alpha channel, and the model has the channels {', '.join(channels)}. Pass an "
                "image with alpha, or a model without."
            )
    found = source.shape[2] - has_alpha
    names = None if source.channels is None else source.channels[:found]
    if names and channels and names != _GRAY:
        if len(set(channels)) == len(channels) and all(names.count(channel) == 1 for channel in channels):
            # Channels that the model doesn't have are left out.
            source = view(source, channels=(*map(names.index, channels), *range(found, source.shape[2])))
            found = len(channels)
        elif channels != names[:n_channels]:
            raise ValueError(
                f"the image's channels are {', '.join(names)}, the mixture's {', '.join(channels)}; wanted "
                "these names, in any order and perhaps among others. Choose them with open_image(..., "
                "channels=[...]), or pass an array if its channels are the mixture's."
            )
    if has_alpha and found != n_channels:
        raise ValueError(
            f"mask is 'alpha', but the image has {count_channels(found + 1)}; wanted the model's "
            f"{n_channels} and alpha as the last"
        )
    check_pixels(_Pixels(source, found), n_channels, channels)
    return source


def warn_of_order(name: str, channels: Sequence[str]) -> None:
    """Warn that an image doesn't name its channels, so that their order is that of the model by assumption.

    Parameters
    ----------
    name : str
        The name of the image.
    channels : sequence of str
        The names of the model's channels. Nothing can be mistaken if there is only one.
    """
    if len(channels) > 1:
        warnings.warn(
            f"{name} doesn't name its channels; they are taken for {', '.join(channels)}, in this order. If "
            f"that is right, say so: open_image(..., channels={[*range(len(channels))]}).",
            stacklevel=3,
        )


class _Pixels:
    """The shape and the dtype of an image without the alpha channel that masks it."""

    def __init__(self, source: Source, n_channels: int) -> None:
        self.shape, self.dtype = (*source.extent, n_channels), source.dtype


def _number_of(channel: str | int, names: tuple[str, ...] | None, n_channels: int, name: str) -> int:
    """Return the number of a channel that a caller names or numbers."""
    if isinstance(channel, str):
        if names is None:
            raise ValueError(
                f"{name} doesn't name its channels; got {channel!r}. Wanted numbers, 0 to {n_channels - 1}."
            )
        if channel not in names:
            raise ValueError(f"{name} has no channel {channel!r}; wanted one of {', '.join(names)}")
        return names.index(channel)
    try:
        number = operator.index(channel)
    except TypeError:
        raise TypeError(f"a channel is {channel!r:.80}; wanted a name or a number") from None
    if not 0 <= number < n_channels:
        raise ValueError(f"{name} has no channel {number}; wanted 0 to {n_channels - 1}")
    return number
