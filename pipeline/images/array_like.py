"""Objects that hold an array in memory: lists, PIL's images, tensors of other libraries."""

from __future__ import annotations

from typing import Any

import numpy as np

# PIL's modes of images with a palette.
_PALETTES = {"P", "PA"}


def as_array(image: Any, role: str) -> Any:  # noqa: ANN401  a caller may pass anything
    """Return the array that an array-like object in memory holds, or else the object itself.

    Parameters
    ----------
    image : object
        Anything that a caller may pass as an image.
    role : str
        The word for it in messages: "image", "mask", "labels" or "zones".

    Returns
    -------
    object

    Raises
    ------
    TypeError
        If it holds an array that NumPy can't use, such as one on a GPU.
    ValueError
        If it is a list whose rows differ in length, or holds indices into a palette.
    """
    if isinstance(image, list | tuple):
        try:
            return np.asarray(image)
        except ValueError as error:
            raise ValueError(
                f"{role} is a list whose rows differ in length or depth; wanted one of shape (H, W, C)"
            ) from error
    if hasattr(image, "__array_interface__") and getattr(image, "mode", None) in _PALETTES:
        raise ValueError(f"{role} holds indices into a palette; wanted colors. Pass image.convert('RGB').")
    if hasattr(image, "__array_interface__"):
        return image if isinstance(image, np.ndarray) else np.asarray(image)
    if hasattr(image, "__dlpack__"):
        try:
            return np.from_dlpack(image)
        except (BufferError, RuntimeError, TypeError, ValueError) as error:
            raise TypeError(
                f"{role} is of {type(image)}, which NumPy can't use ({error}); wanted an array in this "
                "machine's memory. Copy it there, for example with image.detach().cpu()."
            ) from error
    return image
