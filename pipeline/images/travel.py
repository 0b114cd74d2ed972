"""Whether an object that holds an image can be sent to another process."""

from __future__ import annotations

import pickle


def can_travel(held: object) -> bool:
    """Return whether an object can be pickled: one that holds an open file often can't."""
    try:
        pickle.dumps(held)
    except Exception:  # noqa: BLE001  each library raises what it likes
        return False
    return True
