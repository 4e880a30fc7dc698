"""The packages whose own tests are run bare and recorded. Versions of everything else are in constraints.txt."""

from __future__ import annotations

from dataclasses import dataclass

PYTEST = ("-m", "pytest", "-p", "transparency_pytest", "-p", "no:cacheprovider", "-q", "--color=no")

# fmt: off
DJANGO = (
    "asgi", "async", "basic", "context_processors", "decorators", "dispatch", "forms_tests", "get_or_create",
    "handlers", "logging_tests", "middleware", "middleware_exceptions", "queries", "requests_tests", "responses",
    "servers", "signals", "template_tests", "transaction_hooks", "transactions", "urlpatterns_reverse", "wsgi",
)
# fmt: on


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
            requirements=("pytest==9.2.0",),
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
            requirements=(
                "starlette[full]",
                "httpx2[zstd]",
                "blockbuster",
                "opentelemetry-sdk",
                "pytest==9.2.0",
                "trio",
            ),
            python=PYTEST,
            passes=900,
        ),
        Package(
            "attrs",
            "26.1.0",
            modules=("attr", "attrs"),
            requirements=("cloudpickle", "hypothesis", "pympler", "pytest==9.2.0"),
            python=PYTEST,
            passes=1000,
        ),
        Package(
            "jinja2",
            "3.1.6",
            modules=("jinja2",),
            requirements=("pytest==9.2.0", "trio"),
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
                "pytest==9.2.0",
                "pytest-mock",
                "pytest-timeout",
                "trio",
                "trustme",
                "truststore",
                "uvloop",
            ),
            python=(
                *(*PYTEST, "-m", "not network", "-o", "timeout=60", "--ignore", "tests/test_pytest_plugin.py"),
                *("-k", "not trio and not ipv6 and not dualstack and not Backpressure"),
            ),
            passes=2900,
            left_out="what needs the Internet or an IPv6 localhost; trio; Backpressure, which fails bare here, by time;"
            " test_pytest_plugin.py, which starts processes of pytest with limits of 3 s",
        ),
        Package(
            "sqlalchemy",
            "2.1.9",
            modules=("sqlalchemy",),
            requirements=("sqlalchemy[asyncio,aiosqlite]", "pytest==9.2.0"),
            python=(
                *(*PYTEST, "--db", "sqlite", "--db", "aiosqlite", "test/base", "test/engine", "test/ext/asyncio"),
                *("--ignore", "test/base/test_examples.py"),
                *(f"test/orm/test_{name}.py" for name in ("attributes", "collection", "events", "instrumentation")),
                *(f"test/orm/test_{name}.py" for name in ("session", "transaction")),
            ),
            passes=1500,
            left_out="of its ORM all but attributes, collections, events, instrumentation, sessions and transactions;"
            " its SQL compiler, dialects, extensions, profiles and typing: it would take an hour",
        ),
        Package(
            "django",
            "5.2.19",
            modules=("django",),
            requirements=("jinja2", "tblib"),
            python=("runtests.py", "--parallel", "1", "--settings", "transparency_settings", *DJANGO),
            passes=3000,
            directory="tests",
            left_out=f"all but {', '.join(DJANGO)}: it would take an hour",
        ),
    )
}
