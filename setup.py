"""The C extension; everything else about the package stands in pyproject.toml."""

import os
import sysconfig
from pathlib import Path

from setuptools import Extension, setup

include = sysconfig.get_path("include")
flags = ["-std=c11", "-O2", "-g", "-fvisibility=hidden", "-fno-strict-aliasing"]
flags += ["-Wall", "-Wextra", "-Wno-unused-parameter"]
if os.environ.get("AFTERTRACE_WERROR") == "1":
    flags.append("-Werror")
# CPython's own internal headers (frame layout, D1) are not clean under -Wextra: they come in as system headers.
flags += ["-isystem", include, "-isystem", f"{include}/internal"]
flags += os.environ.get("AFTERTRACE_CFLAGS", "").split()

setup(
    ext_modules=[
        Extension(
            "aftertrace._native",
            sources=sorted(str(path) for path in Path("native").glob("*.c")),
            depends=sorted(str(path) for path in Path("native").glob("*.h")),
            include_dirs=["native"],
            extra_compile_args=flags,
            extra_link_args=os.environ.get("AFTERTRACE_LDFLAGS", "").split(),
        )
    ]
)
