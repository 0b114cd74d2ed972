"""The summary of a run: the distribution of every output, and the area and the means of classes and zones."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from pipeline.models.distribution import Distribution
from pipeline.models.table import align_table, html_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline.models.output import Output


@dataclass(frozen=True, eq=False)
class Zone:
    """The pixels of one class, or of one zone.

    Attributes
    ----------
    name : str
        The name of the class or of the zone.
    pixels : int
        The number of its pixels; those of a zone may have no data.
    means : dict of str to float
        The mean of each other result over those of the pixels that have a finite value, NaN if none has. A
        posterior of several classes has one for each, as ``"posterior skin"``.
    classes : dict of str to dict of str to int
        For each label among the results of a zone, how many of its pixels are of each class.
    """

    name: str
    pixels: int
    means: dict[str, float] = field(default_factory=dict)
    classes: dict[str, dict[str, int]] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        # A mean may be NaN, which isn't equal to itself.
        return _to_json(self) == _to_json(other) if isinstance(other, Zone) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.name, self.pixels))


@dataclass(frozen=True)
class Summary:
    """What a run found, counted over all pixels while the results were computed.

    The pixels of a block that was skipped count as pixels without data, even if the store has some of its
    results from an earlier run.

    Attributes
    ----------
    distributions : dict of str to Distribution
        How often each value of a result was stored. A posterior of several classes has one distribution for
        each, as ``"posterior skin"``.
    classes : dict of str to tuple of Zone
        For each label among the results, its classes in their order.
    zones : tuple of Zone
        The zones that the caller gave, in the order of their numbers: all those with names, or else those
        that have pixels.
    pixel_area : float or None
        The area of a pixel in square micrometers, or None if the image doesn't say.
    """

    distributions: dict[str, Distribution]
    classes: dict[str, tuple[Zone, ...]]
    zones: tuple[Zone, ...] = ()
    pixel_area: float | None = None

    def area(self, zone: Zone) -> float | None:
        """Return the area of a class or zone in square micrometers, or None if the image has no scale."""
        return None if self.pixel_area is None else zone.pixels * self.pixel_area

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as plain lists and numbers, which JSON can hold."""
        return {
            "distributions": {name: one.to_dict() for name, one in self.distributions.items()},
            "classes": {name: [_to_json(zone) for zone in zones] for name, zones in self.classes.items()},
            "zones": [_to_json(zone) for zone in self.zones],
            "pixel_area": self.pixel_area,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], outputs: Sequence[Output]) -> Self:
        """Make a summary from the content that :meth:`to_dict` returned.

        Parameters
        ----------
        content : mapping
        outputs : sequence of Output
            The outputs of the run.

        Raises
        ------
        ValueError, KeyError, TypeError, AttributeError, OverflowError
            If the content isn't the summary of these outputs.
        """
        distributions = {
            name: Distribution.from_dict(content["distributions"][name], output)
            for output in outputs
            for name in result_names(output)
        }
        labels = {output.name: output.label_names for output in outputs if output.label_names is not None}
        means = [name for name in distributions if name not in labels]
        classes = {
            label: tuple(_from_json(zone, means, {}) for zone in content["classes"][label])
            for label in labels
        }
        for label, zones in classes.items():
            if tuple(zone.name for zone in zones) != labels[label]:
                raise ValueError(f"the classes of {label} aren't {', '.join(labels[label])}")
        area = content["pixel_area"]
        return cls(
            distributions,
            classes,
            tuple(_from_json(zone, means, labels) for zone in content["zones"]),
            None if area is None else float(area),
        )

    def __str__(self) -> str:
        return "\n\n".join(align_table(table) for table in self._tables())

    def _repr_html_(self) -> str:
        return "".join(html_table(table) for table in self._tables())

    def _tables(self) -> Iterator[list[list[str]]]:
        """Yield tables as rows of cells, with their heads."""
        heads = ["result", "pixels", "no data", "lowest", "5%", "median", "95%", "highest"]
        rows = []
        for name, one in self.distributions.items():
            if name not in self.classes:
                values = [f"{one.quantile(share):.4g}" for share in (0.0, 0.05, 0.5, 0.95, 1.0)]
                rows.append([name, str(one.n_pixels), str(one.n_missing), *values])
        if rows:
            yield [heads, *rows]
        for name, zones in self.classes.items():
            yield self._zone_table(name, zones)
        if self.zones:
            yield self._zone_table("zone", self.zones)

    def _zone_table(self, title: str, zones: Sequence[Zone]) -> list[list[str]]:
        total = sum(zone.pixels for zone in zones)
        kinds = [(label, name) for label, counts in zones[0].classes.items() for name in counts]
        heads = [title, "pixels", "share"]
        heads += [] if self.pixel_area is None else ["mm²"]
        heads += [f"{label} {name}" for label, name in kinds] + [f"mean {name}" for name in zones[0].means]
        table = [heads]
        for zone in zones:
            row = [zone.name, str(zone.pixels), f"{zone.pixels / total:.2%}" if total else ""]
            area = self.area(zone)
            row += [] if area is None else [f"{area / 1e6:.6g}"]
            row += [str(zone.classes[label][name]) for label, name in kinds]
            table.append(row + [f"{mean:.4g}" for mean in zone.means.values()])
        return table


def result_names(output: Output) -> tuple[str, ...]:
    """Return the name of each number that a pixel has: that of the output, followed by that of a class."""
    if output.class_names is None:
        return (output.name,)
    return tuple(f"{output.name} {name}" for name in output.class_names)


def _to_json(zone: Zone) -> dict[str, Any]:
    """Return a zone as JSON holds it, which has no NaN."""
    means = {name: None if math.isnan(mean) else mean for name, mean in zone.means.items()}
    return {"name": zone.name, "pixels": zone.pixels, "means": means, "classes": zone.classes}


def _from_json(content: Mapping[str, Any], means: Sequence[str], labels: Mapping[str, Sequence[str]]) -> Zone:
    """Return a zone with a mean of each of some results, and a count of each class of some labels."""
    found, counted = content["means"], content["classes"]
    return Zone(
        str(content["name"]),
        operator.index(content["pixels"]),
        {name: math.nan if found[name] is None else float(found[name]) for name in means},
        {label: {name: operator.index(counted[label][name]) for name in labels[label]} for label in labels},
    )
