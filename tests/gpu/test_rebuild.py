#!/usr/bin/env python3
"""gpu_check.sh --rebuild-module, where nvcc is: in a copy of the tree it compiles those kernels that
were changed and no others, and the module that it links is one, which is asked for its version.

  test_rebuild.py BUILD CUBLASLT
"""

import ctypes
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]

# in the place of the program that runs the parts: keeps the module, which the script removes
KEEP = """import os, shutil, sys
if "--check" not in sys.argv:
    shutil.copy(os.path.join(os.environ["CLOZE_MODULES"], "libcloze_cuda.so"), os.environ["KEPT"])
"""


def rebuild(tree, build, kept):
    """(exit code, what was said); the module is in KEPT."""
    command = [tree / "scripts/gpu_check.sh", "--device", "emu", "--build", build, "--out", tree,
               "--rebuild-module"]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "KEPT": str(kept)}
    )
    return done.returncode, done.stdout + done.stderr


def compiled(said):
    """The kernels that were to be compiled."""
    return re.search(r"^== kernels to compile: (.*)$", said, re.M).group(1)


def expect_module(path, cublaslt):
    """The module says its version to a program that has version 0."""
    version = re.search(
        r"CZ_MODULE_VERSION = (\d+)", (ROOT / "runtime/device/module.h").read_text(encoding="utf-8")
    ).group(1)
    ctypes.CDLL(cublaslt, mode=ctypes.RTLD_GLOBAL)  # which the program would have looked for
    module = ctypes.CDLL(str(path), mode=os.RTLD_NOW)
    module.cz_module_device.restype = ctypes.c_void_p
    module.cz_module_device.argtypes = [
        ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]  # fmt: skip
    host, why = ctypes.create_string_buffer(4096), ctypes.create_string_buffer(256)
    assert module.cz_module_device(host, b"cuda", why, len(why)) is None
    said = "it was built for version %s of modules, the program has version 0" % version
    assert why.value.decode() == said, why.value


def main():
    build, cublaslt = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        tree, same, other = folder / "tree", folder / "same.so", folder / "other.so"
        for part in ("kernels", "scripts"):
            shutil.copytree(ROOT / part, tree / part)
        (tree / "scripts/gpu_parts.py").write_text(KEEP)
        code, said = rebuild(tree, build, same)
        assert code == 0 and compiled(said) == "none", (code, said)
        expect_module(same, cublaslt)
        source = tree / "kernels/cast/cast_cuda.cu"
        source.write_text(source.read_text() + "\n__device__ int another_kernel = 1;\n")
        code, said = rebuild(tree, build, other)
        assert code == 0 and compiled(said) == "kernels/cast/cast_cuda.cu", (code, said)
        assert b"another_kernel" in other.read_bytes() and b"another_kernel" not in same.read_bytes()
        expect_module(other, cublaslt)
        source.write_text("no kernel\n")
        code, said = rebuild(tree, build, folder / "none.so")
        assert code == 1 and "a kernel was not compiled" in said, (code, said)
        assert not (folder / "none.so").exists()


if __name__ == "__main__":
    main()
