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
# no contraction: a pixel must have the same bits in a vector and in the remainder of a loop;
# psabi: vectors are arguments only of what is inlined
FLAGS = ["-O3", "-g0", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi"]
FLAGS = [] if sys.platform == "win32" else FLAGS
MODULES = {
    "colour": ("colour.pyx", "evidence.c", "loops.c", "sample.c", "table.c"),
    "masks": ("masks.pyx", "masks.c"),
    "matching": ("matching.pyx", "light.c", "loops.c", "registration.c", "sample.c", "table.c"),
    "planes": ("planes.pyx", "kept.c", "planes.c", "smoothing.c"),
}


def _module(name: str, files: tuple[str, ...]) -> Extension:
    sources = [str(KERNELS / file) for file in files]
    return Extension(f"residue_batch.kernels.{name}", sources, include_dirs=[str(KERNELS)], extra_compile_args=FLAGS)


def compile_kernels() -> list[Path]:
    """Build the modules of ``residue_batch.kernels`` beside their sources."""
    modules = [_module(name, files) for name, files in MODULES.items()]
    with tempfile.TemporaryDirectory() as folder:
        built = cythonize(modules, build_dir=folder, quiet=True)
        command = build_ext(Distribution({"ext_modules": built}))
        command.build_lib, command.build_temp = str(HERE), folder
        command.ensure_finalized()
        command.run()
        return [HERE / command.get_ext_filename(module.name) for module in modules]


class KernelsHook(BuildHookInterface[Any]):
    """Wheels hold the compiled module; an editable install has it in place."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  the hook's interface
        """Compile, and say that the wheel belongs to one platform."""
        if self.target_name == "wheel":
            built = compile_kernels()
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
            build_data["artifacts"] += [str(path.relative_to(HERE)) for path in built]


if __name__ == "__main__":
    for path in compile_kernels():
        sys.stdout.write(f"{path}\n")
