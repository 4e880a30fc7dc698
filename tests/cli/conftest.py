"""What commands about a running agent share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .watched import Watched, watching


@pytest.fixture(scope="module")  # what it watches takes CPU time
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with watching(tmp_path_factory.mktemp("watched")) as found:
        yield found
