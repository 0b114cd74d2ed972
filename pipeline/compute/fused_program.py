"""Programs whose expressions are carried out by compiled loops instead of numexpr."""

from __future__ import annotations

from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.compute.instructions import TILE, Instructions, translate
from pipeline.compute.program import DOUBT, Program, Reduction, Step, is_given

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class FusedProgram(Program):
    """A program that needs no numexpr. Steps in a row are carried out together, tile by tile."""

    def run(
        self, planes: NDArray[np.float64], outputs: Sequence[NDArray[Any]], *, serial: bool
    ) -> list[NDArray[np.float64] | None]:
        """Run the steps over every pixel in the calling thread, see :meth:`Program.run`."""
        from pipeline.compute.fused_steps import carry_out  # noqa: PLC0415  Numba is an extra

        values = np.empty((len(self._planes), planes.shape[1]))
        for step in self._stages:
            if isinstance(step, Instructions):
                carry_out(*step, values)
            elif isinstance(step.expression, Reduction):
                step.expression.fill(planes, values[self._planes[step.target]], serial=serial)
        for quantity, out in enumerate(outputs):
            for number, plane in enumerate(out):
                np.copyto(plane, values[self._planes[f"out{number} of {quantity}"]], casting="unsafe")
        doubts = (self._planes.get(f"{DOUBT} of {quantity}") for quantity in range(len(outputs)))
        return [None if number is None else values[number] for number in doubts]

    @cached_property
    def n_planes(self) -> int:
        """The number of planes that a run takes beside the channels, the results and the doubts."""
        return sum(not name.startswith(DOUBT) for name in self._planes)

    @cached_property
    def compiled_bytes(self) -> int:
        """The memory in bytes of the registers."""
        stages = [stage for stage in self._stages if isinstance(stage, Instructions)]
        return max((stage.n_registers for stage in stages), default=0) * TILE * 8

    @cached_property
    def _planes(self) -> dict[str, int]:
        """The number of each plane that a step fills."""
        names = dict.fromkeys(step.target for step in self.steps)
        return {name: number for number, name in enumerate(names)}

    @cached_property
    def _stages(self) -> list[Step | Instructions]:
        """The reductions, and the instructions of the expressions between them."""
        stages: list[Step | Instructions] = []
        done = 0
        for is_reduction, group in groupby(self.steps, lambda step: isinstance(step.expression, Reduction)):
            steps = list(group)
            done += len(steps)
            if is_reduction:
                stages += steps
                continue
            read = {name for step in self.steps[done:] for name in step.inputs}
            filled = dict.fromkeys(step.target for step in steps)
            kept = [name for name in filled if is_given(name) or name in read]
            stages.append(translate(steps, self._planes, kept))
        return stages
