"""Compile the inner loops (residue_batch/kernels) when the package is built or installed for editing.

python hatch_build.py       compile them in place
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from Cython.Build import cythonize
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from setuptools import Distribution, Extension
from setuptools.command.build_ext import build_ext

HERE = Path(__file__).parent
KERNELS = HERE / "residue_batch" / "kernels"
# no contraction: a pixel must have the same bits in a vector and in the remainder of a loop
FLAGS = [] if sys.platform == "win32" else ["-O3", "-g0", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]


def compile_kernels() -> Path:
    """Build ``residue_batch.kernels.bindings`` beside its source."""
    sources = [
        str(KERNELS / name)
        for name in ("bindings.pyx", "evidence.c", "light.c", "loops.c", "registration.c", "sample.c")
    ]
    module = Extension("residue_batch.kernels.bindings", sources, include_dirs=[str(KERNELS)], extra_compile_args=FLAGS)
    with tempfile.TemporaryDirectory() as folder:
        built = cythonize([module], build_dir=folder, quiet=True)
        command = build_ext(Distribution({"ext_modules": built}))
        command.build_lib, command.build_temp = str(HERE), folder
        command.ensure_finalized()
        command.run()
        return HERE / command.get_ext_filename(module.name)


class KernelsHook(BuildHookInterface[Any]):
    """Wheels hold the compiled module; an editable install has it in place."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  the hook's interface
        """Compile, and say that the wheel belongs to one platform."""
        if self.target_name == "wheel":
            built = compile_kernels()
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
            build_data["artifacts"].append(str(built.relative_to(HERE)))


if __name__ == "__main__":
    sys.stdout.write(f"{compile_kernels()}\n")
