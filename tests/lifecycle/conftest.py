"""What the tests of lifecycles share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the import mode puts no test folder there

pytest.register_assert_rewrite("lab", "rebuilding", "taking", "telling")

from lab import Lab  # noqa: E402  # after its asserts are to be rewritten


@pytest.fixture
def lab(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path, tmp_path_factory.mktemp("agent"))
