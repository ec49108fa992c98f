#!/usr/bin/env python3
"""Holds the CUDA kernels to the language that the emulator understands (kernels/common/device.cuh).

    scripts/check_cuda_sources.py [FILE...]

Kernel files are kernels/**/*.cu and *.cuh, without device_ptx.cuh, which is the one place for what is
refused elsewhere: inline PTX, launches, bare shared memory, a branch for the emulator, floating-point
atomics, and headers of CUDA or of its libraries beside device.cuh. Exit code 1 and a line for each
finding.
"""
import pathlib
import re
import sys

REFUSED = [
    (r"\basm\b", "inline PTX belongs into device_ptx.cuh"),
    (r"<<<", "kernels are launched by cz_launch"),
    (r"\b__shared__\b", "shared memory is declared by CZ_SHARED or CZ_SHARED_DYNAMIC"),
    (r"\bCZ_EMULATED\b", "a kernel may not know that it is emulated"),
    (r"\b__nvvm_|\b__nv_(?!bfloat16)", "built-in functions of nvcc are not in the language"),
    (r"\batomic(?!Add\b)\w+\s*\(", "atomics are for integers, and atomicAdd is the only one"),
    (r"#\s*include\s*<(cuda|cub|cooperative|cutlass|mma|thrust)", "device.cuh is all of CUDA"),
]
ALLOWED = {"kernels/common/device_ptx.cuh"}
HEADERS = {"kernels/common/device.cuh"}  # which includes CUDA's, and chooses between the languages


def code_of(text):
    """Blanks comments and strings, and keeps the lines."""
    keep_lines = lambda m: re.sub(r"[^\n]", " ", m.group())
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', keep_lines, text, flags=re.S)


def check(path):
    found = 0
    for number, line in enumerate(code_of(path.read_text()).split("\n"), 1):
        for pattern, why in REFUSED:
            own = str(path) in HEADERS and ("include" in pattern or "EMULATED" in pattern)
            if not own and re.search(pattern, line):
                print(f"{path}:{number}: {line.strip()}: {why}")
                found += 1
    return found


def main():
    files = [pathlib.Path(f) for f in sys.argv[1:]]
    if not files:
        folder = pathlib.Path("kernels")
        files = sorted([*folder.rglob("*.cu"), *folder.rglob("*.cuh")])
        files = [f for f in files if str(f) not in ALLOWED]
        if not files:
            sys.exit("check_cuda_sources.py: no kernels below " + str(folder.resolve()))
    found = sum(check(f) for f in files)
    if found:
        sys.exit(1)
    print(f"{len(files)} CUDA files in the emulator's language")


if __name__ == "__main__":
    if "-h" in sys.argv[1:] or "--help" in sys.argv[1:]:
        print(__doc__)
    else:
        main()
