"""The seam of engines: every registered engine keeps the contract, whatever its kind."""

from __future__ import annotations

import pytest

from pipeline.compute.engine import Engine
from pipeline.compute.engines import ENGINES
from pipeline.testing.engines import EngineContract


class TestEveryEngine(EngineContract):
    """The contract, for each registered engine."""

    @pytest.fixture(params=ENGINES.values(), ids=list(ENGINES))
    def engine(self, request: pytest.FixtureRequest) -> Engine:
        """Give each engine."""
        one: Engine = request.param
        return one


def test_an_engine_is_found_by_its_name() -> None:
    """The name under which an engine is registered is its own."""
    assert all(isinstance(engine, Engine) and engine.name == name for name, engine in ENGINES.items())
