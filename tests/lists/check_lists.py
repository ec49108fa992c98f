#!/usr/bin/env python3
"""What stands in a folder stands in its list: each row that the sources define has its line in the
.def file, so that a forgotten line is no row that nobody sees. And what has CUDA kernels stands in the
module's table and is counted in the emulator.

  check_lists.py NM ROOT BUILD

The rows are the data symbols of the folder's library, so macros that make several are seen too."""

import glob
import json
import os
import re
import subprocess
import sys

# Library, list, macro of a line, pattern of the row's symbol, symbols that are no rows.
LISTS = [
    ("kernels/libcz_kernels.a", "kernels/ops.def", "CZ_OP", r"cz_(\w+)_row"),
    ("runtime/nn/libcz_nn.a", "runtime/nn/models/families.def", "CZ_FAMILY", r"cz_family_(\w+)"),
    ("trainers/stages/libcz_stages.a", "trainers/stages/kinds.def", "CZ_STAGE",
     r"cz_stage_row_(?!count$)(\w+)"),
    ("trainers/tasks/libcz_tasks.a", "trainers/tasks/tasks.def", "CZ_TASK", r"cz_task_row_(\w+)"),
    ("trainers/objectives/libcz_objectives.a", "trainers/objectives/objectives.def", "CZ_OBJECTIVE",
     r"cz_objective_(?!rows$|count$)(\w+)"),
    ("trainers/commands/libcz_commands.a", "trainers/commands/commands.def", "CZ_COMMAND",
     r"cz_(\w+)_usage"),
]


def defined(nm, library):
    """Names of the global data symbols of LIBRARY."""
    out = subprocess.run([nm, "-g", "--defined-only", library], check=True, text=True,
                         capture_output=True).stdout
    fields = [line.split() for line in out.splitlines()]
    return [f[2].lstrip("_") for f in fields if len(f) == 3 and f[1] in "RDSBG"]


def missing(nm, root, build):
    """Yields a line of text for each row without a line and each line without a row."""
    for library, path, macro, pattern in LISTS:
        symbols = defined(nm, f"{build}/{library}")
        rows = {m.group(1) for m in (re.fullmatch(pattern, s) for s in symbols) if m}
        with open(f"{root}/{path}", encoding="utf-8") as f:
            lines = set(re.findall(rf"^{macro}\((\w+)[,)]", f.read(), re.M))
        if not rows:
            yield f"{library}: no symbol is like {pattern}: is the check still right?"
        for name in sorted(rows - lines):
            yield f"{path}: {macro}({name}) is missing; the sources define its row"
        for name in sorted(lines - rows):
            yield f"{path}: {macro}({name}) has no row"


# cuDNN's kernels: the module asks for them by name, and the emulator has no cuDNN.
BY_LIBRARY = {"attention_cudnn"}


def missing_of_cuda(root):
    """Yields a line of text for each folder with a CUDA kernel that the module's table has no row
    of, and for each op with a row whose costs nobody counts."""
    table, counted = "runtime/cuda/kernels.c", "experiments/bench/counted.json"
    paths = glob.glob(f"{root}/kernels/*/*_cuda.cu")
    folders = {os.path.basename(os.path.dirname(path)) for path in paths} - BY_LIBRARY
    with open(f"{root}/{table}", encoding="utf-8") as f:
        rows = set(re.findall(r"^ *\[CZ_OP_(\w+)\] =", f.read(), re.M))
    with open(f"{root}/{counted}", encoding="utf-8") as f:
        ops = {entry["op"] for entries in json.load(f).values() for entry in entries}
    if not folders or not rows:
        yield f"no folder with a CUDA kernel, or no row in {table}: is the check still right?"
    for name in sorted(folders - rows):
        yield f"{table}: [CZ_OP_{name}] is missing; kernels/{name} has a CUDA kernel"
    for name in sorted((folders | rows) - ops):
        yield f"{counted}: a line of op {name} is missing; it has a CUDA kernel"


def main():
    found = list(missing(*sys.argv[1:4])) + list(missing_of_cuda(sys.argv[2]))
    print("\n".join(found) if found else "all rows are listed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
