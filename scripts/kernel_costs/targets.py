"""What counted kernels are held to, and what misses it."""

import re
from typing import NamedTuple

from . import cards, counts, ptxas, tiles, work

EFFICIENCY = 0.95  # of sectors of global memory
REREADING = 1.05  # bytes moved over compulsory ones
CONFLICTS = 1.05  # wavefronts of shared memory over the fewest
TILING = 1.1  # attention's bytes over what its tiles imply
ONE_TURN = ("norm forward", "norm backward")  # all of the grid's blocks are resident at once
LINEAR_GROWTH = 2.3  # of bytes when a sequence doubles; 4 would be the square

# Passes that are not held to the bytes of their arrays: attention is to what its tiles imply, and
# most of the bytes of the others are the library's.
OF_THEIR_OWN = ("attention", "linear", "cross_entropy")

# A kernel that moves or does less than this part of its pass is not held to anything: the pass would
# not be faster without it. Nor is a pass of a few scalars.
SMALL_PART = 0.05
SCALARS = 8192  # bytes

# What another version of ptxas has otherwise: measures, and how lines of text say them.
BY_PTXAS = ("spills", "turns")
SAID_BY_PTXAS = re.compile(r" on sm_\w+ spills: | are resident at once \(")


# What misses a target today, by kernel, or op and pass, and measure: up to this value, and why. A
# line goes when its kernel is repaired; a new one needs a reason that a kernel's author would accept.
KNOWN = {
    ("gather forward", "rereading"): (
        1.08,
        "each strip of 128 columns reads its row's number, four bytes of a sector that the other "
        "strips leave in L1",
    ),
    ("label words backward", "rereading"): (
        1.36,
        "the block of each strip reads numbers of rows and words, and the shares: some hundred "
        "bytes, which stay in L1",
    ),
    ("gather backward", "rereading"): (
        1.093,
        "each strip of 128 columns reads the sorted numbers of rows, and where runs of them end; "
        "where a gradient is added to, little else is moved",
    ),
    ("choices forward", "efficiency"): (
        1.22,
        "a thread adds the margins of a question, whose scores lie beside those of the next thread's; "
        "all of them are some hundred numbers, which stay in L1",
    ),
    ("choices forward", "rereading"): (
        5.6,
        "a warp takes a candidate of some tokens, 12 or 16 bytes of a sector that the next warps "
        "read too: all of it is less than 5 KiB, which stay in L1",
    ),
    ("choices backward", "rereading"): (
        16.2,
        "a warp looks for its candidate's question among all, and reads that question's scores: all "
        "of it is less than 6 KiB, which stay in L1",
    ),
    ("choices forward", "pass"): (5.6, "as its kernel"),
    ("choices backward", "pass"): (16.2, "as its kernel"),
    ("embedding backward", "pass"): (1.1, "as its kernel"),
    ("gather forward", "pass"): (1.062, "as its kernel"),
    ("label_words backward", "pass"): (
        1.123,
        "as its kernel, where the gradient of the table is added to and little else is moved",
    ),
    ("add backward", "pass"): (
        1.334,
        "each gradient is copied by a launch of its own, which reads what arrives; in a graph one of "
        "the two takes its place, and one copy remains",
    ),
    ("adamw forward", "pass"): (
        1.149,
        "the size of a step is that of the whole tensor's values, which are read once before any "
        "changes: 4 bytes an element",
    ),
    ("adafactor forward", "pass"): (
        1.908,
        "sums of rows and columns need all gradients, the clipping of an update all updates, so "
        "that gradients are read three times and values twice",
    ),
    ("score_rows<float, true>", "spills"): (
        172,
        "float32, which serves comparisons, and on sm_80 alone: a thread of a block of 1024 has 64 "
        "registers there, and sm_90a's code needs 58",
    ),
}


class Miss(NamedTuple):
    """A target missed by a kernel (its counts; None: by the pass, which OF names)."""

    kernel: dict
    measure: str
    value: float
    text: str
    of: str = None

    def key(self):
        return self.kernel["kernel"] if self.kernel else self.of, self.measure

    def known(self):
        """Why it is allowed, or None."""
        limit, why = KNOWN.get(self.key(), (0, None))
        return why if self.value <= limit else None


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
    """Of a kernel's accesses to global memory."""
    efficiency, rereading = counts.efficiency(k), counts.rereading(k)
    if efficiency < EFFICIENCY:
        what = "%.3f of its sectors are needed, wanted are %.2f" % (efficiency, EFFICIENCY)
        text = _with_lines(what, k, counts.GLOBAL, _lost)
        yield Miss(k, "efficiency", 1 / efficiency, text)
    if op != "attention" and rereading > REREADING:
        what = "moves %.3f times its compulsory bytes, the limit is %.2f" % (rereading, REREADING)
        yield Miss(k, "rereading", rereading, _with_lines(what, k, counts.GLOBAL, _moved))


def of_pass(counted):
    """What misses a target in one pass."""
    missed = []
    if sum(counts.moved_bytes(k) for k in counted["kernels"]) >= SCALARS:
        for k in _considerable(counted, counts.moved_bytes):
            missed += _of_global(counted["op"], k)
    for k in _considerable(counted, _cost):
        factor = counts.conflict_factor(k)
        if factor > CONFLICTS:
            what = "has the bank-conflict factor %.3f, the limit is %.2f" % (factor, CONFLICTS)
            text = _with_lines(what, k, counts.SHARED, _lost)
            missed.append(Miss(k, "conflicts", factor, text))
    for k in counted["kernels"]:
        if k["atomic"]["requests"]:
            text = _with_lines("uses atomics", k, ("atomic",), _moved)
            missed.append(Miss(k, "atomics", k["atomic"]["requests"], text))
    return missed


def of_bytes(counted, sizes):
    """work.bytes_of says what the program's account says, or bounds would be of another op."""
    op = counted["op"]
    said = work.bytes_of(op, counted["pass"] == "backward", sizes, counted["precision"])
    if said == round(counted["bytes"]):
        return []
    text = "work.py has %d bytes, the program %d" % (said, counted["bytes"])
    return [Miss(None, "account", 1, text)]


def bytes_of_pass(counted, sizes):
    """(bytes that all launches of a pass move, what is cleared before them among them; those of its
    arrays, each counted once)."""
    of = counted["op"], counted["pass"] == "backward", sizes, counted["precision"]
    moved = sum(counts.moved_bytes(k) for k in counted["kernels"])
    return moved + work.cleared_of(*of), work.bytes_of(*of)


def of_arrays(counted, sizes):
    """Passes whose launches read again what one of them has read or written, which the compulsory
    bytes of none of them show."""
    moved, arrays = bytes_of_pass(counted, sizes)
    if counted["op"] in OF_THEIR_OWN or moved < SCALARS or moved <= REREADING * arrays:
        return []
    each = ["%s %d" % (k["kernel"], counts.moved_bytes(k)) for k in counted["kernels"]]
    what = "moves %.3f times the %d bytes of its arrays, the limit is %.2f: %s"
    text = what % (moved / arrays, arrays, REREADING, "; ".join(each))
    return [Miss(None, "pass", moved / arrays, text, counted["op"] + " " + counted["pass"])]


def of_attention(counted, sizes):
    """Kernels of attention that move more than their tiles imply."""
    missed = []
    for k in counted["kernels"]:
        implied = tiles.implied_bytes(k, counted["kernels"], sizes, counted["precision"])
        if implied and counts.moved_bytes(k) > TILING * implied:
            ratio = counts.moved_bytes(k) / implied
            what = "moves %.3f times what its tiles imply, the limit is %.2f" % (ratio, TILING)
            text = _with_lines(what, k, counts.GLOBAL, _moved)
            missed.append(Miss(k, "tiling", ratio, text))
    return missed


def _of_turns(counted, k, architecture, files, texts):
    threads = k["block"][0] * k["block"][1] * k["block"][2]
    blocks = k["grid"][0] * k["grid"][1] * k["grid"][2]
    for function in k["functions"]:
        x = ptxas.of_function(files, counted["op"], architecture, texts[function])
        if not x:
            what = "was compiled without ptxas' account on " + architecture
            yield Miss(k, "registers", 1, what)
            continue
        warps, why = cards.resident(architecture, x["registers"], threads, k["shared_bytes"])
        room = counted["multiprocessors"] * (warps * cards.WARP // threads)
        if blocks > room:
            what = "has %d blocks on %s, where %d are resident at once (%s)"
            yield Miss(k, "turns", blocks / room, what % (blocks, architecture, room, why))


def of_turns(counted, files, texts):
    """Kernels of ONE_TURN with more blocks than the card that they were counted on would have room
    for at once, were it of an architecture that they are compiled for."""
    missed = []
    for k in counted["kernels"]:
        if k["kernel"] in ONE_TURN:
            for architecture in cards.MULTIPROCESSORS:
                missed += _of_turns(counted, k, architecture, files, texts)
    return missed


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
            missed.append(Miss(k, "growth", ratio, what))
    return missed


def of_spills(files):
    """Misses, with the file in their text, of all functions that spill, whatever their dtype."""
    missed = []
    for name, functions in files.items():
        for (architecture, function), x in functions.items():
            stores, loads = x["spill_stores"], x["spill_loads"]
            if not stores + loads:
                continue
            short = ptxas.short(function)
            text = "%s.cu %s on %s spills: %d bytes of stores, %d of loads" % (
                (name, short, architecture, stores, loads)
            )
            missed.append(Miss({"kernel": short}, "spills", stores + loads, text))
    return missed


def stale(seen):
    """(measure, a line of text) for each line of KNOWN that is not in SEEN, keys of misses."""
    text = "'%s', %s, is known to miss its target (KNOWN) and does not: delete its line"
    for key in sorted(set(KNOWN) - set(seen)):
        yield key[1], text % key
