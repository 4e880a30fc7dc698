"""The C extension, and the demo's shop as data; everything else about the package stands in pyproject.toml."""

import os
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_py import build_py

include = sysconfig.get_path("include")
flags = ["-std=c11", "-O2", "-g", "-fvisibility=hidden", "-fno-strict-aliasing"]
flags += ["-Wall", "-Wextra", "-Wno-unused-parameter"]
if os.environ.get("AFTERTRACE_WERROR") == "1":
    flags.append("-Werror")
# CPython's own internal headers (frame layout, D1) are not clean under -Wextra: they come in as system headers.
flags += ["-isystem", include, "-isystem", f"{include}/internal"]
flags += os.environ.get("AFTERTRACE_CFLAGS", "").split()

SHOP = Path("examples/shop")
SHOP_IN_PACKAGE = Path("aftertrace/cli/demo/shop")


class BuildWithShop(build_py):
    """``aftertrace demo`` works wherever the wheel is installed: the shop's sources go along as they are."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for source, target in self._shop().items():
                self.mkpath(str(Path(target).parent))
                self.copy_file(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return [*super().get_outputs(include_bytecode), *([] if self.editable_mode else self._shop().values())]

    def get_output_mapping(self) -> dict[str, str]:
        shop = {} if self.editable_mode else {target: source for source, target in self._shop().items()}
        return {**super().get_output_mapping(), **shop}

    def _shop(self) -> dict[str, str]:
        """Each file of the shop, and where it goes."""
        files = (path for path in SHOP.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        inside = Path(self.build_lib) / SHOP_IN_PACKAGE
        return {str(path): str(inside / path.relative_to(SHOP)) for path in sorted(files)}


setup(
    cmdclass={"build_py": BuildWithShop},
    ext_modules=[
        Extension(
            "aftertrace._native",
            sources=sorted(str(path) for path in Path("native").glob("*.c")),
            depends=sorted(str(path) for path in Path("native").glob("*.h")),
            include_dirs=["native"],
            libraries=["m"],
            extra_compile_args=flags,
            extra_link_args=os.environ.get("AFTERTRACE_LDFLAGS", "").split(),
        )
    ],
)
