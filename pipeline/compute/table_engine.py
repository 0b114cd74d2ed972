"""The engine ``table``: it computes every color that occurs once, and looks its results up for all pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.compute.color_table import (
    MOST_MEMORY,
    SCRATCH_BYTES,
    find_table,
    share_tables,
    table_bytes,
)
from pipeline.compute.colors import STRIP, color_bits, pack_colors
from pipeline.compute.engine import Engine
from pipeline.compute.planes import program_bytes
from pipeline.compute.strips import compute_strips, flat_strip

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from pipeline.models.output import Output

# The time for making a table, for each of its colors, and for looking up one pixel.
_SECONDS_PER_COLOR = 3e-9
_SECONDS_PER_PIXEL = 2e-9


class TableEngine(Engine):
    """The engine that looks results up, for pixels of at most 24 bits. It has the bits of the reference."""

    name: ClassVar[str] = "table"
    is_reference: ClassVar[bool] = True

    def refusal(self, output: Output, dtype: np.dtype[Any]) -> str | None:
        """Return a reason if there are too many colors, or if the table would be too large."""
        n_channels = output.quantity.n_channels
        bits = color_bits(dtype, n_channels)
        if bits is None:
            channels = "1 channel" if n_channels == 1 else f"{n_channels} channels"
            return (
                f"{channels} of {dtype} have too many colors for a table; wanted 1 to 3 channels of uint8 or "
                "1 of uint16"
            )
        if table_bytes([output], bits) > MOST_MEMORY:
            return (
                f"a table of {output.n_results} results for each color has more than "
                f"{MOST_MEMORY // 2**20} MiB"
            )
        return None

    def seconds(self, output: Output, dtype: np.dtype[Any], n_pixels: int) -> float:
        """Estimate the time of making the table and of looking the pixels up."""
        bits = self._bits(output, dtype)
        return float(2**bits * _SECONDS_PER_COLOR + n_pixels * _SECONDS_PER_PIXEL)

    def is_close(self, output: Output) -> bool:
        """Return True: the bits are those of the reference."""
        del output
        return True

    def process_bytes(self, outputs: Sequence[Output], dtype: np.dtype[Any]) -> int:
        """Return the memory of the tables."""
        return sum(
            table_bytes([outputs[number] for number in numbers], self._bits(outputs[numbers[0]], dtype))
            for numbers in share_tables(outputs)
        )

    def thread_bytes(self, outputs: Sequence[Output], dtype: np.dtype[Any]) -> int:
        """Return the memory of the program for the colors of a strip, and of the strip itself."""
        del dtype
        tables = [[outputs[number] for number in numbers] for numbers in share_tables(outputs)]
        return SCRATCH_BYTES + sum(program_bytes(table) for table in tables)

    def prepare(self) -> None:
        """Import OpenCV, which packs three channels."""
        import cv2  # noqa: F401, PLC0415  takes half a second

    def evaluate(
        self,
        pixels: NDArray[Any],
        outputs: Sequence[Output],
        results: Sequence[NDArray[Any]],
        *,
        serial: bool,
    ) -> list[float]:
        """Look the outputs up at every pixel, see :meth:`Engine.evaluate`."""
        bits = self._bits(outputs[0], pixels.dtype)
        tables = [
            (numbers, find_table([outputs[number] for number in numbers], bits))
            for numbers in share_tables(outputs)
        ]

        def look_up(strips: Iterable[tuple[slice, slice]]) -> list[float]:
            largest = [0.0] * len(outputs)
            for strip in strips:
                colors = pack_colors(pixels[strip])
                for numbers, table in tables:
                    flat = [flat_strip(results[number], strip) for number in numbers]
                    for number, error in zip(numbers, table.look_up(colors, flat), strict=True):
                        largest[number] = max(largest[number], error)
            return largest

        return compute_strips(look_up, pixels.shape, STRIP, serial=serial)

    def _bits(self, output: Output, dtype: np.dtype[Any]) -> int:
        """Return the number of bits of a color, or raise ValueError if the output is refused."""
        bits = color_bits(dtype, output.quantity.n_channels)
        if bits is None:
            raise ValueError(f"the engine {self.name!r} can't be used: {self.refusal(output, dtype)}")
        return bits
