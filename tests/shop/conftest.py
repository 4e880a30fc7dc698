"""The shop as real processes, without aftertrace."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from aftertrace.cli.demo import variants
from aftertrace.cli.demo.processes import Processes, Shop, free_ports
from aftertrace.cli.demo.sources import shop_sources


@pytest.fixture(scope="module")
def start_bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int | None], Shop]]:
    """Starts a variant with plain uvicorn and huey; all is stopped after the module."""
    with ExitStack() as stack:

        def start(seed: int | None) -> Shop:
            run = tmp_path_factory.mktemp(f"shop-{seed}")
            variant = variants.make(shop_sources(), run / "shop", seed)
            processes = stack.enter_context(Processes(run / "logs"))
            env = {name: value for name, value in os.environ.items() if not name.startswith(("AFTERTRACE_", "PYTHON"))}
            shop = Shop(variant, run / "data", processes, env)
            shop.start(free_ports(3))
            return shop

        yield start


def wait_for_text(path: Path, text: str, *, times: int = 1, seconds: float = 15.0) -> str:
    """The file's text once it contains ``text`` so many times; what is there after ``seconds`` otherwise."""
    deadline = time.monotonic() + seconds
    while True:
        found = path.read_text() if path.exists() else ""
        if found.count(text) >= times or time.monotonic() > deadline:
            return found
        time.sleep(0.1)
