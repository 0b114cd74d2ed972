"""The receipt of a finished run."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from pipeline.models.table import emphasize, html_facts, html_table
from pipeline.stores.store_kinds import open_store

if TYPE_CHECKING:
    import os

    from pipeline.models.summary import Summary


@dataclass(frozen=True)
class Receipt:
    """What a finished run did.

    Attributes
    ----------
    store : str
        Where the results are.
    pixels : int
        Pixels of the image.
    blocks : int
        Blocks of the image. Each of them is one shard of each result.
    kept_blocks, kept_pixels : int
        Blocks that an earlier run had written and this run left as they were, and their pixels.
    seconds : float
        From the submission of the first block to the end of the last one.
    bytes_written : int
        Size of the shards that this run wrote.
    peak_memory : int
        The highest resident memory of a process that computed blocks, in bytes, as the system measured it. If
        the process had taken more before the run, which then never took as much, it is the highest of the
        samples that are taken when each block has ended. It is 0 if the image has no blocks.
    engine : str
        How the blocks were computed, for example ``"numexpr"`` or ``"table"``.
    engine_reason : str
        Why this engine was chosen.
    largest_errors : dict of str to float
        The largest error of each packed result, over all blocks: see :class:`Packed`.
    skipped : list of dict
        Blocks that failed and were skipped: ``"block"``, ``"rows"``, ``"columns"`` and ``"error"``.
    retries : int
        How often a block was tried again because it couldn't be read or written.
    warning : str or None
        A sentence that says why the model doesn't suit the pixels, if hardly any pixel lies near a kernel,
        and what would suit it; a few pixels of each block are looked at.
    validity : list of str
        What marked pixels without data, in a few words each: masks, also those that the image's file states,
        and a no-data value.
    summary : Summary or None
        The distribution of each result, and the areas and means of classes and zones; None for a store that
        an older version of this package wrote.
    """

    store: str
    pixels: int
    blocks: int
    kept_blocks: int
    kept_pixels: int
    seconds: float
    bytes_written: int
    peak_memory: int
    engine: str
    engine_reason: str
    largest_errors: dict[str, float] = field(default_factory=dict)
    skipped: list[dict[str, Any]] = field(default_factory=list)
    retries: int = 0
    warning: str | None = None
    validity: list[str] = field(default_factory=list)
    summary: Summary | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the receipt as plain lists, strings and numbers, which JSON can hold."""
        content = {one.name: getattr(self, one.name) for one in fields(self)}
        return {**content, "summary": None if self.summary is None else self.summary.to_dict()}

    def __str__(self) -> str:
        blocks = "1 block" if self.blocks == 1 else f"{self.blocks} blocks"
        if self.blocks and self.kept_blocks == self.blocks:
            return (
                f"nothing was left to do: {blocks} ({self.pixels / 1e6:.1f} megapixels), all whole, checked "
                f"in {self.seconds:.1f} s"
            )
        pixels = self.pixels - self.kept_pixels
        rate = pixels / self.seconds / 1e6 if self.seconds else 0.0
        kept = f"{self.kept_blocks} of them kept, " if self.kept_blocks else ""
        skipped = f"{len(self.skipped)} of them skipped, " if self.skipped else ""
        retries = f"{self.retries} {'retry' if self.retries == 1 else 'retries'}, " if self.retries else ""
        validity = "; ".join(self.validity)
        memory = f"peak memory {self.peak_memory / 2**30:.2f} GiB, " if self.peak_memory else ""
        return (
            f"{pixels / 1e6:.1f} megapixels in {self.seconds:.1f} s ({rate:.1f} megapixels a second), "
            f"{blocks}, {kept}{skipped}{retries}{self.bytes_written / 1e6:.1f} MB written, {memory}"
            f"engine {self.engine} ({self.engine_reason})"
            f"{f'. Validity: {validity}' if validity else ''}"
            f"{f'. Warning: {self.warning}' if self.warning else ''}"
        )

    def _repr_html_(self) -> str:
        computed = self.pixels - self.kept_pixels
        rate = f" ({computed / self.seconds / 1e6:.1f} megapixels a second)" if self.seconds else ""
        kept = f", {self.kept_blocks} of them kept" if self.kept_blocks else ""
        skipped = "1 block" if len(self.skipped) == 1 else f"{len(self.skipped)} blocks"
        rows = [
            ("store", self.store),
            ("image", f"{self.pixels / 1e6:.1f} megapixels"),
            ("blocks", f"{self.blocks}{kept}"),
            ("time", f"{self.seconds:.1f} s{rate}"),
            ("written", f"{self.bytes_written / 1e6:.1f} MB"),
            *([("peak memory", f"{self.peak_memory / 2**30:.2f} GiB")] if self.peak_memory else []),
            ("engine", f"{self.engine} ({self.engine_reason})"),
            *((f"largest error of {name}", f"{error:.3g}") for name, error in self.largest_errors.items()),
            *([("validity", "; ".join(self.validity))] if self.validity else []),
            *([("warning", emphasize(self.warning))] if self.warning else []),
            *([("retries", f"{self.retries}")] if self.retries else []),
            *([("skipped", emphasize(skipped))] if self.skipped else []),
        ]
        lost = [["rows", "columns", "error"]]
        lost += [[str(block[key]) for key in ("rows", "columns", "error")] for block in self.skipped]
        parts = [html_facts(rows), html_table(lost) if self.skipped else ""]
        return "".join([*parts, "" if self.summary is None else self.summary._repr_html_()])


def read_receipt(store: str | os.PathLike[str]) -> Receipt | None:
    """Read the receipt that a store keeps of its run, or None if the run didn't finish.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    ValueError
        If this isn't a result of this package, or its record is damaged.
    """
    record = open_store(store).find().read_record()
    try:
        return None if record.receipt is None else Receipt(**{**record.receipt, "summary": record.summary})
    except (ValueError, TypeError):
        raise ValueError(f"{store} has a damaged receipt. Resume it, or overwrite it.") from None
