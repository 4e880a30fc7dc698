"""The packages whose own tests are run bare and recorded. Versions of everything else are in constraints.txt."""

from __future__ import annotations

from dataclasses import dataclass

PYTEST = ("-m", "pytest", "-p", "transparency_pytest", "-p", "no:cacheprovider", "-q", "--color=no")


@dataclass(frozen=True, slots=True)
class Package:
    """``modules`` are recorded at lines, and so is the sdist's tree, where the tests are. ``python`` is the command
    line of an interpreter that stands in ``directory`` of the tree. ``passes``: fewer tests than that passing bare
    mean that the environment is broken. ``left_out`` says what of the suite is not run, and why."""

    name: str
    version: str
    modules: tuple[str, ...]
    requirements: tuple[str, ...]
    python: tuple[str, ...]
    passes: int
    directory: str = "."
    left_out: str = ""


PACKAGES = {
    package.name: package
    for package in (
        Package(
            "click",
            "8.5.1",
            modules=("click",),
            requirements=("pytest",),
            python=PYTEST,
            passes=1000,
            left_out="tests marked stress, as in click's own default",
        ),
        Package(
            "flask",
            "3.1.3",
            modules=("flask",),
            requirements=("flask[async,dotenv]", "greenlet", "pytest==8.4.2"),
            python=PYTEST,
            passes=450,
        ),
        Package(
            "starlette",
            "1.10.0",
            modules=("starlette",),
            requirements=("starlette[full]", "httpx2[zstd]", "blockbuster", "opentelemetry-sdk", "pytest", "trio"),
            python=PYTEST,
            passes=900,
        ),
        Package(
            "attrs",
            "26.1.0",
            modules=("attr", "attrs"),
            requirements=("cloudpickle", "hypothesis", "pympler", "pytest"),
            python=PYTEST,
            passes=1000,
        ),
        Package(
            "jinja2",
            "3.1.6",
            modules=("jinja2",),
            requirements=("pytest", "trio"),
            python=PYTEST,
            passes=800,
        ),
        Package(
            "anyio",
            "4.16.0",
            modules=("anyio",),
            requirements=(
                "blockbuster",
                "hypothesis",
                "psutil",
                "pytest",
                "pytest-mock",
                "pytest-timeout",
                "trio",
                "trustme",
                "truststore",
                "uvloop",
            ),
            python=(*PYTEST, "-m", "not network", "-o", "timeout=60"),
            passes=1000,
            left_out="tests marked network: they need the Internet",
        ),
    )
}
