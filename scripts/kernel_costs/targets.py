"""What counted kernels are held to, and what misses it: pairs (kernel, text) of a pass."""

import re

from . import counts, ptxas, work

EFFICIENCY = 0.95  # of sectors of global memory
REREADING = 1.05  # bytes moved over compulsory ones
CONFLICTS = 1.05  # wavefronts of shared memory over the fewest
TILING = 1.1  # attention's bytes over what its tiles imply
LINEAR_GROWTH = 2.3  # of bytes when a sequence doubles; 4 would be the square

# A kernel that moves or does less than this part of its pass is not held to anything: the pass would
# not be faster without it. Nor is a pass of a few scalars.
SMALL_PART = 0.05
SCALARS = 8192  # bytes


def _considerable(counted, size):
    """Kernels that have a considerable part of what SIZE(kernel) counts in the pass."""
    total = sum(size(k) for k in counted["kernels"])
    return [k for k in counted["kernels"] if size(k) >= SMALL_PART * total]


def _cost(kernel):
    """Bytes, with those that shared memory could move in the time of its wavefronts."""
    return counts.moved_bytes(kernel) + 128 * counts.wavefronts(kernel)


def _with_lines(what, kernel, kinds, by):
    lines = counts.worst_lines(kernel, kinds, by)
    return what + (": " + "; ".join(lines) if lines else "")


def _lost(line):
    return line["moved"] - line["least"]


def _moved(line):
    return line["moved"]


def _of_global(op, k):
    """Texts about a kernel's accesses to global memory."""
    efficiency, rereading = counts.efficiency(k), counts.rereading(k)
    if efficiency < EFFICIENCY:
        what = "%.3f of its sectors are needed, wanted are %.2f" % (efficiency, EFFICIENCY)
        yield _with_lines(what, k, counts.GLOBAL, _lost)
    if op != "attention" and rereading > REREADING:
        what = "moves %.3f times its compulsory bytes, the limit is %.2f" % (rereading, REREADING)
        yield _with_lines(what, k, counts.GLOBAL, _moved)


def of_pass(counted):
    """What misses a target in one pass."""
    missed = []
    if sum(counts.moved_bytes(k) for k in counted["kernels"]) >= SCALARS:
        for k in _considerable(counted, counts.moved_bytes):
            missed += [(k, what) for what in _of_global(counted["op"], k)]
    for k in _considerable(counted, _cost):
        factor = counts.conflict_factor(k)
        if factor > CONFLICTS:
            what = "has the bank-conflict factor %.3f, the limit is %.2f" % (factor, CONFLICTS)
            missed.append((k, _with_lines(what, k, counts.SHARED, _lost)))
    for k in counted["kernels"]:
        if k["atomic"]["requests"]:
            missed.append((k, _with_lines("uses atomics", k, ("atomic",), _moved)))
    return missed


def of_bytes(counted, sizes):
    """work.bytes_of says what the program's account says, or bounds would be of another op."""
    op = counted["op"]
    if op in ("adamw", "adafactor", "clip"):
        return []
    said = work.bytes_of(op, counted["pass"] == "backward", sizes, counted["precision"])
    if abs(said - counted["bytes"]) <= 1e-9 * counted["bytes"] + 64:
        return []
    return [(None, "work.py has %d bytes, the program %d" % (said, counted["bytes"]))]


def of_growth(short, long):
    """A pass of attention at a sequence and at twice as many: no kernel's bytes may grow with the
    square."""
    missed = []
    before = {k["kernel"]: k for k in short["kernels"]}
    for k in long["kernels"]:
        if k["kernel"] not in before:
            continue
        ratio = counts.compulsory_bytes(k) / max(1, counts.compulsory_bytes(before[k["kernel"]]))
        if ratio > LINEAR_GROWTH:
            what = "has %.2f times the bytes at twice the sequence: some are of order S^2" % ratio
            missed.append((k, what))
    return missed


def may_spill(function):
    """Why a function (short) may spill, or None."""
    of = re.search(r"<(.*)>", function)
    if of and "float" in of.group(1) and not re.search("bf16|fp16", of.group(1)):
        return "float32 instances, which serve comparisons"
    return None


def of_spills(files):
    """(texts of what misses, {why: texts of what is excused}) of all functions."""
    missed, excused = [], {}
    for name, functions in files.items():
        for (architecture, function), x in functions.items():
            if not (x["spill_stores"] or x["spill_loads"]):
                continue
            short = ptxas.short(function)
            bytes_of = (x["spill_stores"], x["spill_loads"])
            text = "%s.cu %s on %s: spills, %d bytes of stores, %d of loads" % (
                (name, short, architecture) + bytes_of
            )
            why = may_spill(short)
            (excused.setdefault(why, []) if why else missed).append(text)
    return missed, excused
