"""The emulator's counts: read from count_kernels (tests/counted), and what they amount to."""

import json
import os
import subprocess
import tempfile

GLOBAL = ("global_load", "global_store", "atomic")
SHARED = ("shared_load", "shared_store", "ldmatrix")
SECTOR = 32
MMA_FLOP = 2 * 16 * 8 * 16  # of a warp's mma.m16n8k16


def _lists(shapes, precision):
    """Those that are counted in PRECISION: the emulator multiplies slowly in float32."""
    narrow = "in 16 bits"
    return {name: x for name, x in shapes.items() if precision != "f32" or narrow not in name}


def _start(build, shapes, precision, folder):
    """Begins to count the lists of SHAPES in PRECISION into a file of FOLDER: (process, file)."""
    program = os.path.join(build, "tests", "counted", "count_kernels")
    environment = {**os.environ, "CZ_MODULE_PATH": os.path.join(build, "modules")}
    environment["OMP_NUM_THREADS"] = "1"
    lists, out = (os.path.join(folder, precision + end) for end in (".shapes.json", ".jsonl"))
    with open(lists, "w", encoding="utf-8") as f:
        json.dump(_lists(shapes, precision), f)
    words = [program, lists, precision, out]
    return subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True), out


def read(lines, precision):
    """The passes that count_kernels wrote, each with its "kernels"; refused ones have none."""
    passes = []
    for line in lines:
        entry = json.loads(line)
        if "kernel" in entry:
            passes[-1]["kernels"].append(entry)
        else:
            passes.append({**entry, "precision": precision, "kernels": []})
    return passes


def count(build, shapes, precisions):
    """All passes of the lists of SHAPES in each of PRECISIONS, all counted at once."""
    passes = []
    with tempfile.TemporaryDirectory() as folder:
        running = [(p, *_start(build, shapes, p, folder)) for p in precisions]
        for precision, process, out in running:
            _, said = process.communicate()
            if process.returncode != 0:
                raise RuntimeError("count_kernels in %s: %s" % (precision, said.strip()))
            with open(out, encoding="utf-8") as f:
                passes += read(f, precision)
    return passes


def _sum(kernel, kinds, what):
    return sum(kernel[kind][what] for kind in kinds)


def moved_bytes(kernel):
    """Of global memory, in the sectors that accesses touched."""
    return SECTOR * _sum(kernel, GLOBAL, "moved")


def compulsory_bytes(kernel):
    """Those that a launch reads before it wrote them, and those that it writes, each once."""
    return kernel["read_bytes"] + kernel["written_bytes"]


def efficiency(kernel):
    """The part of the sectors moved that the bytes asked for needed; 1 without any."""
    moved = _sum(kernel, GLOBAL, "moved")
    return _sum(kernel, GLOBAL, "least") / moved if moved else 1


def rereading(kernel):
    """Bytes moved over compulsory ones. Whole sectors are compulsory: what is smaller than one has
    to be moved as one."""
    compulsory = compulsory_bytes(kernel)
    return moved_bytes(kernel) / compulsory if compulsory else 1


def wavefronts(kernel):
    return _sum(kernel, SHARED, "moved")


def conflict_factor(kernel):
    """Wavefronts of shared memory over the fewest that could do; 1 without any."""
    least = _sum(kernel, SHARED, "least")
    return wavefronts(kernel) / least if least else 1


def mma_flop(kernel):
    return MMA_FLOP * kernel["mma"]


def seen_instructions(kernel):
    """Warp instructions that the emulator sees: accesses, products, shuffles, votes, barriers. No
    arithmetic is among them."""
    events = ("mma", "shuffle", "vote", "syncwarp", "barrier")
    return _sum(kernel, GLOBAL + SHARED, "requests") + sum(kernel[e] for e in events)


def mean_lanes(kernel):
    requests = _sum(kernel, GLOBAL + SHARED, "requests")
    return _sum(kernel, GLOBAL + SHARED, "lanes") / requests if requests else 0


def worst_lines(kernel, kinds, by, n=2):
    """Source lines with most of BY(line), those with none left out, as texts."""
    lines = [line for line in kernel["lines"] if line["kind"] in kinds and by(line) > 0]
    lines.sort(key=by, reverse=True)
    return [
        "%s %s %d moved, %d would do" % (x["line"], x["kind"], x["moved"], x["least"])
        for x in lines[:n]
    ]
