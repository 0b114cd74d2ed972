"""Records that hold everything that a record can hold."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.images.description import Description
from pipeline.images.no_data import NoData
from pipeline.models.class_quantities import Label, Posterior
from pipeline.models.mixture_quantities import Density, LogRatio
from pipeline.models.output import make_outputs
from pipeline.models.packed import Packed
from pipeline.stores.record import _digest
from pipeline.testing.filling import CLASSES, make_record

if TYPE_CHECKING:
    from pipeline.models.quantity import Quantity
    from pipeline.stores.record import Record

MASK = Description((50, 70, 1), np.dtype("bool"), None, "7", {"image": "/data/mask.tif"})
ZONES = Description((50, 70, 1), np.dtype("uint16"), None, "9", {"image": "/data/zones.png"})
QUANTITIES: dict[str, Quantity | Packed] = {
    "density": Density(CLASSES["b"], normalized=False),
    "half": Packed(Density(CLASSES["b"]), "float16"),
    "log": Packed(Density(CLASSES["a"]), "uint16", 1e-9, 1.0, "log"),
    "ratio": Packed(LogRatio(CLASSES["a"], CLASSES["b"]), "uint8", -5.0, 5.0),
    "chances": Posterior(CLASSES, [1.0, 3.0]),
    "label": Label(CLASSES),
}
MANY = make_outputs(QUANTITIES)


def whole_record(**fields: Any) -> Record:
    """Make a record with everything that a record can have."""
    image = Description(
        (50, 70, 3), np.dtype("uint16"), ("red", "green", "blue"), "5", {"image": "/data/x.tif"}
    )
    engines = {**dict.fromkeys(QUANTITIES, "numexpr"), "half": "table"}
    known = {"image": image, "masks": (MASK,), "has_alpha": False, "no_data": NoData(255.0), "zones": ZONES}
    known |= {"outputs": MANY, "engines": engines}
    return make_record(**{**known, **fields})


def stored(record: Record) -> Any:
    """Return the content of a record as JSON gives it back; JSON as strict as any reader's."""
    return json.loads(json.dumps(record.to_dict(), allow_nan=False))


def signed(content: Any) -> Any:
    """Return the content of a record with the digest that fits it."""
    return {**content, "digest": _digest(content)}


def with_outputs(record: Record, quantities: Any) -> Record:
    """Return a record with other outputs."""
    outputs = make_outputs(quantities)
    return replace(record, outputs=outputs, engines=dict.fromkeys(quantities, "numexpr"))
