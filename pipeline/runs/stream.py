"""The entrances to runs: plan one, execute one, go on with one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from pipeline.images.geojson import is_geojson
from pipeline.images.opening import open_with
from pipeline.images.reopening import reopen
from pipeline.models.output import make_outputs
from pipeline.runs.options import complete, shows_options
from pipeline.runs.plan import make_plan
from pipeline.stores.store_kinds import open_store

if TYPE_CHECKING:
    import os

    from distributed import Client

    from pipeline.images.description import Description
    from pipeline.images.opening import ImageLike
    from pipeline.models.output import Quantities
    from pipeline.runs.options import Options
    from pipeline.runs.plan import Plan
    from pipeline.runs.progress import Listener
    from pipeline.runs.receipt import Receipt


@shows_options
def plan(
    image: ImageLike, quantities: Quantities, store: str | os.PathLike[str], **options: Unpack[Options]
) -> Plan:
    """Plan a run: blocks, engines, memory, bytes and time. Nothing is written to the store.

    Parameters
    ----------
    image, quantities, store, **options
        As for :func:`stream`.

    Returns
    -------
    Plan
        Its time and its bytes are extrapolated from a piece at the center of the image, of at most
        1024 x 1024 pixels, that is read, computed and written to a temporary directory beside the store.

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        As :func:`stream` does before it starts, except for runs that don't fit: see :meth:`Plan.validate`.
    """
    return make_plan(image, make_outputs(quantities), store, complete(options)).estimated()


@shows_options
def stream(
    image: ImageLike, quantities: Quantities, store: str | os.PathLike[str], **options: Unpack[Options]
) -> Receipt:
    """Evaluate quantities over an image of any size and write them to a Zarr store.

    Parameters
    ----------
    image : path, Image or array
        What :func:`open_image` takes: an image file, the directory of a Zarr array, an :class:`Image`, or a
        NumPy, Dask, Zarr or xarray array of shape (H, W, C) or (H, W). The channels of an image that names
        them are brought into the order of the mixtures' channels. The channels of any other array must be in
        that order already.
    quantities : Quantity, Packed, or mapping of str to these
        One quantity, stored under its own name, or several under the names of the mapping, computed in one
        pass.
    store : path or URL
        A directory that doesn't exist yet, or a place in object storage, as ``"s3://bucket/out.zarr"``. It
        becomes an OME-Zarr image of several levels, whose channels are the results that are floats; each
        packed result is an image in it, and each label a label image. Until it is whole it is written beside
        its place, as ``store.partial``.
    block : int or tuple of int, optional
        Height and width of a block in pixels, which can be halved twice. By default 4096 x 4096, or less
        where memory is short.
    memory_limit : int or str, optional
        The resident memory that a process which computes blocks may use, in bytes or as ``"2 GiB"``. By
        default, what the machine, its control group or the workers of the cluster allow.
    channel_axis : int or None
        The axis of an array's channels; None for a gray image of shape (H, W).
    mask : path, Image, array of shape (H, W), "alpha", "auto" or None
        Pixels where the mask is 0 have no data; a block without any data isn't read. ``"alpha"`` is the
        image's own alpha channel. Masks that the image states itself count as well, unless it is None.
    no_data : float, (float, "any"), "any", "all", "auto" or None
        Pixels whose channels all have this value have no data; see :func:`open_image`. By default it is the
        value that the image states itself.
    zones : path, Image or array of shape (H, W), optional
        The zone of each pixel, a positive integer or 0 for none, or a GeoJSON file of polygons, each of which
        is a zone: the summary then has the area, the classes and the mean results of each zone. Polygons are
        in pixels of `image` as it is passed here: those of a slice begin at its corner. Where they overlap,
        a pixel belongs to the later one in the file only.
    identity : str, optional
        A name for the pixels that are read, by which a run is resumed. By default it is made from the content
        of an array in memory, and from the time and size of a file. It is needed to resume a run on an array
        of which neither is known, and on a file that was touched or written again: the caller vouches that
        the pixels are the same.
    resume : bool
        If True, go on with the store of an interrupted run, or mend a damaged store: blocks that are whole
        are kept, and not read again. Where there is nothing, the run starts.
    overwrite : bool
        If True, replace an existing result, which stays until the new one is whole, and discard the store of
        an interrupted run.
    on_error : str
        ``"raise"`` ends the run with the first block that fails. ``"skip"`` goes on; the receipt lists the
        skipped blocks, which have no data in the store. A block that can't be read or written is tried again
        three times before it counts as failed.
    progress : str or callable
        ``"auto"`` draws a bar in a notebook or terminal, and otherwise logs lines at level INFO to the logger
        ``pipeline.progress``; ``"bar"`` and ``"log"`` do one of them, ``"none"`` neither. A function is
        called with a :class:`Progress` for each block, and before the first one if loops must be compiled.
    client : distributed.Client, optional
        The cluster to run on. By default the current client if there is one, or else threads of this process,
        as many as Dask's setting ``num_workers`` says, by default one for each core; with Dask's setting
        ``scheduler="processes"`` processes, and with ``"synchronous"`` one thread. The workers must have
        this package in the same version, and find the image and the store under the same paths or URLs. If
        there are none yet, the run waits for the first one; those that join later get blocks too.

    Returns
    -------
    Receipt

    Raises
    ------
    FileNotFoundError
        If there is no such image.
    FileExistsError
        If there is a store, or one of an interrupted run, and it may be neither overwritten nor resumed.
    BlockingIOError
        If another run is writing there.
    TypeError, ValueError
        If the image can't be read or lacks the mixtures' channels; if the mask or the zones can't be read or
        don't fit the image; if there is no such option, or it can't
        have its value; if the run doesn't fit the memory; if the run to resume was begun with another image,
        mask, model, grid or version.
    RuntimeError
        If the client is closed, or a worker lacks this package in the same version.
    OSError, ValueError, RuntimeError
        If a block fails, depending on its error, or ends every worker that computes it; the message names
        the block. If the scheduler of the cluster is lost, it is a ConnectionError. What was written is kept
        for ``resume=True``.
    """
    return make_plan(image, make_outputs(quantities), store, complete(options), awaits_workers=True).execute()


def resume(
    store: str | os.PathLike[str],
    *,
    image: ImageLike | None = None,
    identity: str | None = None,
    on_error: str = "raise",
    memory_limit: int | str | None = None,
    progress: str | Listener = "auto",
    client: Client | None = None,
) -> Receipt:
    """Go on with an interrupted run, or mend a damaged store, by what the store records.

    Parameters
    ----------
    store : path
        The store, as it was given to :func:`stream`.
    image : path, Image or array, optional
        The image of the run, if it isn't where it was any more, or was an array in memory.
    identity, on_error, memory_limit, progress, client
        As for :func:`stream`.

    Returns
    -------
    Receipt

    Raises
    ------
    FileNotFoundError
        If there is neither a store nor one of an interrupted run, or the image, the mask or the zones aren't
        where they were.
    ValueError
        If the image of the run was an array in memory and isn't passed, if its mask or its zones were one, or
        if the image or the mask has changed.
    """
    record = open_store(store).find(to_resume=True).read_record()
    opened = open_with(
        _reopen(record.image, "image") if image is None else image,
        [_reopen(mask, "mask").source for mask in record.masks],
        has_alpha=record.has_alpha,
        no_data=record.no_data,
    )
    options: Options = {
        "zones": None if record.zones is None else _reopen_zones(record.zones),
        "identity": identity,
        "memory_limit": memory_limit,
        "resume": True,
        "on_error": on_error,
        "progress": progress,
        "client": client,
    }
    return make_plan(opened, record.outputs, store, complete(options), awaits_workers=True).execute()


def _reopen_zones(description: Description) -> Any:  # noqa: ANN401  an Image, or the path of polygons
    """Open the zones of a run again; polygons by their path, so that they keep their names."""
    path = None if description.place is None else description.place["image"]
    return path if is_geojson(path) else _reopen(description, "zones")


def _reopen(description: Description, what: str) -> Any:  # noqa: ANN401  an Image
    was, it = ("were", "them") if what == "zones" else ("was", "it")
    again = "resume(store, image=...)" if what == "image" else f"stream(..., {what}=..., resume=True)"
    if description.place is None:
        raise ValueError(f"the {what} of the run {was} an array in memory. Pass {it}: {again}.")
    try:
        return reopen(description.place)
    except FileNotFoundError as error:
        advice = "pass its new place: image=... (--image)" if what == "image" else f"pass {it}: {again}"
        raise FileNotFoundError(
            f"the {what} of the run can't be found: {error}. After a move, {advice}."
        ) from None
