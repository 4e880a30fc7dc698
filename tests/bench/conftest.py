"""One bench for all of this room's tests: the programs' copy, a real sink and a real agent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aftertrace.cli.bench.servers import Bench, open_bench


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with open_bench(tmp_path_factory.mktemp("bench"), agent=True) as opened:
        yield opened
