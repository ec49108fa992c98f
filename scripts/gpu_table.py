#!/usr/bin/env python3
"""The results of gpu_check.sh: one JSON file for a card, and a text with each figure beside its
ceiling and its opponent and with the gates.

  gpu_table.py RESULT.json      prints the text of a file again

Results of parts that are not run again are kept as long as card, driver, commit and module stay the
same.
A gate that is missed is reported and fails nothing.
"""

import hashlib
import json
import math
import os
import re
import subprocess
import sys
import time

PEAK = 989.0  # TFLOP/s of an H100 or H200 in bf16, by its data sheet

# What stands in the place of what only a card can say, where gpu_check.sh is rehearsed.
MADE_UP = {
    "card": {"name": "emulator", "compute_capability": "0.0"},
    "copy": {"device_memcpy_gb_per_s": 1.0, "device_kernel_gb_per_s": 1.0},
    "launch": {"submit_us": 1.0, "graph_us_per_kernel": 1.0},
    "products-t5-base": [
        {"linear": "qkvo", "pass": p, "dtype": "bf16", "tokens": 33, "in": 16, "out": 24, "ms": 1.0,
         "tflop_per_s": 1.0} for p in ("forward", "dX", "dW")],
    "products-t5-small": [],
    "products-roberta-large": [],
    "sdpa": {"t5-base encoder, MATH": {"forward_ms": 1.0, "forward_backward_ms": 2.0},
             "t5-small encoder, MATH": {"error": "made up"}},
    "norms": {"rms_norm 16384 x 768": {"forward_ms": 1.0, "forward_backward_ms": 2.0}},
    "adamw": {"t5-base": {"parameters": 1, "ms": 1.0, "gb_per_s": 1.0}},
    "t5_step": {"t5-base 32 x 512/114": {"ms": 1.0, "tokens_per_s": 1.0}},
}  # fmt: skip


def ask(*words):
    """The first line that a command prints, or "unknown"."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=30)
    except OSError:
        return "unknown"
    return done.stdout.split("\n")[0].strip() or "unknown"


def digest(path):
    """The beginning of a file's SHA-256, "none" where there is none: two modules of one commit, as
    --rebuild-module makes them, are two."""
    try:
        with open(path, "rb") as f:
            return hashlib.sha256(f.read()).hexdigest()[:16]
    except (FileNotFoundError, NotADirectoryError):
        return "none"


def identity(modules, emulated=False):
    """What results belong to. MODULES: the folder of the module that computed them."""
    commit = os.environ.get("CLOZE_COMMIT") or ask("git", "rev-parse", "--short", "HEAD")
    name = "libcloze_emu.so" if emulated else "libcloze_cuda.so"
    of = {"commit": commit, "module": digest(os.path.join(str(modules), name))}
    if emulated:
        return {"card": "emulator", "driver": "none", **of}
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader", "--id=0"]
    name, _, driver = ask(*query).partition(", ")
    return {"card": name, "driver": driver or "unknown", **of}


def file_name(card):
    return re.sub(r"[^a-z0-9]+", "-", card.lower()).strip("-")


def read(path):
    try:
        with open(path, encoding="utf-8") as f:
            return json.load(f)
    except (FileNotFoundError, ValueError):
        return {}


def finite(x):
    """X for JSON, which has no NaN and no infinity."""
    if isinstance(x, dict):
        return {k: finite(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [finite(v) for v in x]
    return None if isinstance(x, float) and not math.isfinite(x) else x


class Results:
    """What was found, on disk after every change."""

    def __init__(self, folder, quick, emulated, modules):
        self.who = identity(modules, emulated)
        name = file_name(self.who["card"]) + ("-quick" if quick else "")
        self.path = os.path.join(str(folder), name)
        self.whole = read(self.path + ".json")
        if {k: self.whole.get(k) for k in self.who} != self.who:
            self.whole = {}
        self.whole.update(self.who)
        self.whole.setdefault("began", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
        if emulated:
            self.whole["rehearsal"] = "numbers of this file are made up or an emulator's"
        bundle = os.environ.get("CLOZE_BUNDLE")
        if bundle:
            self.whole["bundle"] = read(os.path.join(bundle, "bundle.json"))
        for key in ("parts", "seconds", "not_well"):
            self.whole.setdefault(key, {})

    def put(self, part, value):
        self.whole["parts"][part] = value
        self.write()

    def join(self, part, entries):
        """Adds entries to those of the part that are there."""
        self.put(part, {**self.whole["parts"].get(part, {}), **entries})

    def extend(self, part, key, rows):
        """Adds rows to a list of the part."""
        found = self.whole["parts"].setdefault(part, {})
        found[key] = found.get(key, []) + rows
        self.write()

    def took(self, part, seconds):
        self.whole["seconds"][part] = round(seconds, 1)

    def fail(self, part, text):
        """Keeps what was not well with a part; None: nothing."""
        self.whole["not_well"].pop(part, None)
        if text:
            self.whole["not_well"][part] = text
        self.write()

    def write(self):
        self.whole["gates"] = gates(self.whole["parts"])
        for end, text in ((".json", json.dumps(finite(self.whole), indent=1)), (".txt", self.table())):
            with open(self.path + end + ".tmp", "w", encoding="utf-8") as f:
                f.write(text + "\n")
            os.replace(self.path + end + ".tmp", self.path + end)

    def table(self):
        return table(self.whole)


# ---- ceilings and opponents ----


def copy_rate(parts):
    """GB/s of the card's own copy of memory, read and written, or None."""
    found = parts.get("copy", {})
    rates = [found.get(k) for k in ("device_memcpy_gb_per_s", "device_kernel_gb_per_s")]
    return max((r for r in rates if r), default=None)


def products(parts):
    """{(tokens, in, out, pass): ms} of the best candidates in bf16."""
    out = {}
    for name, value in parts.items():
        if name.startswith("products-"):
            for p in value:
                if p["dtype"] == "bf16":
                    out[p["tokens"], p["in"], p["out"], p["pass"]] = p["ms"]
    return out


def best_product_rate(parts):
    """TFLOP/s of the fastest product that was found, or None."""
    rates = [p["tflop_per_s"] for n, v in parts.items() if n.startswith("products-") for p in v
             if p["dtype"] == "bf16"]  # fmt: skip
    return max(rates, default=None)


def candidate_ms(row, shape, found):
    """Milliseconds that the best candidates take for a row of linear, or None."""
    key = (shape["rows"], shape["width"], shape["outputs"])
    passes = ("forward",) if row["pass"] == "forward" else ("dX", "dW")
    times = [found.get(key + (p,)) for p in passes]
    return sum(times) if all(times) else None


def shapes():
    """{(set, op, name): entry} of the lists of sizes in the repository."""
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    out = {}
    for name in ("experiments/bench/kernels.json", "experiments/bench/gpu.json",
                 "tests/gpu/tiny_shapes.json"):  # fmt: skip
        for key, entries in read(os.path.join(root, name)).items():
            for e in entries:
                out[key, e["op"], e["name"]] = e
    return out


# (set, op, name) -> (part, begin of the entries' names): the same sizes at the opponent's
OPPONENTS = {
    ("T5-base 32 x 512/114", "attention", "encoder"): ("sdpa", "t5-base encoder"),
    ("T5-small 8 x 512", "attention", "encoder"): ("sdpa", "t5-small encoder"),
    ("RoBERTa-large PET 16 x 256", "attention", "self"): ("sdpa", "roberta-large pet"),
    ("T5-base 32 x 512/114", "norm", "encoder"): ("norms", "rms_norm 16384 x 768"),
    ("T5-base 32 x 512/114", "cross_entropy", "decoder"): (
        "cross_entropy", "t5-base 32 x 114"),
}  # fmt: skip


def opponent(parts, row):
    """(milliseconds, whose) of the fastest opponent of a kernel's pass, or None. Of a backward pass
    what PyTorch takes for both less its forward one."""
    where = OPPONENTS.get((row["set"], row["op"], row["name"]))
    if not where:
        return None
    best = None
    groups = [where] + ([("flex", where[1])] if where[0] == "sdpa" else [])
    for part, begin in groups:
        for name, entry in parts.get(part, {}).items():
            if not name.startswith(begin) or not isinstance(entry, dict):
                continue
            forward, both = entry.get("forward_ms"), entry.get("forward_backward_ms")
            if forward is None or both is None:
                continue
            ms = forward if row["pass"] == "forward" else both - forward
            if best is None or ms < best[0]:
                best = (ms, name if part == where[0] else part)
    return best


# ---- gates ----


def kernel_rows(parts, dtype="bf16"):
    return [r for r in parts.get("kernels", {}).get(dtype, []) if "seconds" in r]


def expected(op, of_set=None):
    """{(set, name, pass): entry} of what part kernels measures of an op on a card."""
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    passes = ("forward",) if op == "adamw" else ("forward", "backward")
    lists = read(os.path.join(root, "experiments/bench/gpu.json"))
    return {(key, e["name"], p): e for key, entries in lists.items() if of_set in (None, key)
            for e in entries if e["op"] == op for p in passes}  # fmt: skip


def measured(parts, op, of_set=None):
    """{(set, name, pass): row} of an op's rows."""
    return {(r["set"], r["name"], r["pass"]): r for r in kernel_rows(parts)
            if r["op"] == op and of_set in (None, r["set"])}  # fmt: skip


def worst(shares, wanted):
    """(smallest share, whose, those of WANTED that have none) of {(set, name, pass): share}."""
    missing = ["%s, %s %s" % key for key in wanted if key not in shares]
    if not shares:
        return None
    key = min(shares, key=shares.get)
    return shares[key], "%s, %s %s" % key, missing


def worst_share_of_copy(parts, op, of_set=None):
    """Of AdamW what has no launch before it for the scale of its steps, which reads values once more
    than they are counted."""
    rate, known = copy_rate(parts), shapes()
    shares = {k: r["gb_per_s"] / rate for k, r in measured(parts, op, of_set).items()
              if rate and not known.get((k[0], op, k[1]), {}).get("scaled")}  # fmt: skip
    wanted = [k for k, e in expected(op, of_set).items() if not e.get("scaled")]
    return worst(shares, wanted)


def worst_product(parts):
    known, found, shares = shapes(), products(parts), {}

    def counts(shape):
        return shape and not shape.get("relu") and not shape.get("bias")

    for key, row in measured(parts, "linear").items():
        shape = known.get((key[0], "linear", key[1]))
        ms = candidate_ms(row, shape, found) if counts(shape) else None
        if ms:
            shares[key] = ms / (1e3 * row["seconds"])
    return worst(shares, [key for key, shape in expected("linear").items() if counts(shape)])


def label_words(parts, added):
    """({(set, name, pass): row}, keys that there should be): of where the table's gradient is added
    to, or of where it is written."""
    known, wanted = shapes(), expected("label_words")

    def is_such(entry):
        return bool(entry.get("added")) == added

    rows = {key: row for key, row in measured(parts, "label_words").items()
            if is_such(known.get((key[0], "label_words", key[1]), {}))}  # fmt: skip
    return rows, [key for key, entry in wanted.items() if is_such(entry)]


def label_words_us(parts):
    """Without the writing of the tied table's gradient, which the head does in a step: the rows of
    label words alone are touched."""
    rows, wanted = label_words(parts, True)
    if not rows:
        return None
    each = ["%s %.1f" % (r["pass"], 1e6 * r["seconds"]) for r in rows.values()]
    missing = ["%s, %s %s" % key for key in wanted if key not in rows]
    return 1e6 * sum(r["seconds"] for r in rows.values()), " + ".join(each), missing


def label_words_written(parts):
    """Of a step where it is written: all of the table's size is cleared, which alone takes longer
    than the time above."""
    rate, (rows, wanted) = copy_rate(parts), label_words(parts, False)
    shares = {k: r["gb_per_s"] / rate for k, r in rows.items() if rate and k[2] == "backward"}
    return worst(shares, [key for key in wanted if key[2] == "backward"])


def of_base_step(parts, key):
    """A figure of T5-base's step of 32 texts."""
    for name, step in parts.get("steps", {}).items():
        if name.startswith("t5-base 32") and "unwaited" in step:
            return key(step), name, []
    return None


def share_of_peak(step):
    return 1e-3 * step["gflop_per_step"] / step["step_seconds"] / PEAK


LARGE = "larger than the cache"

# (what, limit, whether the value must be at least the limit or at most, the value)
GATES = (
    ("norms' share of the copy rate", 0.80, True, lambda p: worst_share_of_copy(p, "norm", LARGE)),
    ("AdamW's share of the copy rate", 0.85, True, lambda p: worst_share_of_copy(p, "adamw")),
    ("products' share of the best candidate's speed", 0.98, True, worst_product),
    ("label_words, the table's gradient added to, us", 20.0, False, label_words_us),
    ("label_words backward, gradient written: share of the copy rate", 0.80, True,
     label_words_written),
    ("T5-base's step: share in which the card waits for the host", 0.03, False,
     lambda p: of_base_step(p, lambda s: s["unwaited"]["host_share"])),
    ("T5-base's step: share of %.0f TFLOP/s" % PEAK, 0.25, True,
     lambda p: of_base_step(p, share_of_peak)),
)  # fmt: skip


def gates(parts):
    """Each gate with its verdict. One that is passed by the rows that are there is incomplete where
    others are not, as refused or not run; one that is missed by some is missed."""
    out = []
    for what, limit, least, value_of in GATES:
        try:
            found = value_of(parts)
        except (KeyError, TypeError, ZeroDivisionError, AttributeError) as error:
            found, why = None, "%s: %s" % (type(error).__name__, error)
        else:
            why = "not measured"
        gate = {"gate": what, "limit": limit, "at": "least" if least else "most"}
        if found is None:
            gate.update(verdict=why)
        else:
            value, where, missing = found
            well = value >= limit if least else value <= limit
            gate.update(value=value, where=where, verdict="pass" if well else "MISSED")
            if well and missing:
                gate.update(verdict="incomplete", missing=missing)
        out.append(gate)
    return out


# ---- the text ----


def number(x):
    return "%.4g" % x if isinstance(x, float) else str(x)


def kernel_line(parts, row, known):
    """Time; rates with their shares of the ceilings; the bound of both; the opponent."""
    ms = 1e3 * row["seconds"]
    rate, product = copy_rate(parts), best_product_rate(parts)
    line = "%-14s %-26s %-8s %9.4f ms %7.0f GB/s" % (
        row["op"], row["name"][:26], row["pass"], ms, row["gb_per_s"])  # fmt: skip
    bounds = []
    if rate:
        bounds.append(row["bytes"] / rate * 1e-6)
        line += " %5.2f of copy" % (row["gb_per_s"] / rate)
    if row["gflop"] > 0:
        line += " %7.1f TFLOP/s" % (1e-3 * row["gflop_per_s"])
        if product:
            bounds.append(row["gflop"] / product)
            line += " %4.2f of best" % (1e-3 * row["gflop_per_s"] / product)
    if bounds:
        line += "; bound %.4f ms, %.2f of it" % (max(bounds), max(bounds) / ms)
    shape = known.get((row["set"], row["op"], row["name"]), {})
    if row["op"] == "linear" and "outputs" in shape:
        best = candidate_ms(row, shape, products(parts))
        if best:
            line += "; best candidate %.4f ms, %.2f of it" % (best, best / ms)
    theirs = opponent(parts, row)
    if theirs:
        line += "; %s %.4f ms, %.2f times" % (theirs[1], theirs[0], theirs[0] / ms)
    return line


def kernels_text(parts, value):
    known = shapes()
    for dtype, rows in value.items():
        last = None
        for row in rows:
            if "seconds" not in row:
                yield "%s: %s" % (row["op"], row.get("refused", "?").split("\n")[0][:160])
                continue
            if row["set"] != last:
                last = row["set"]
                yield "%s, %s" % (dtype, last)
            yield "  " + (kernel_line(parts, row, known) if dtype == "bf16" else plain_line(row))


def plain_line(row):
    return "%-14s %-26s %-8s %9.4f ms %7.0f GB/s %9.1f TFLOP/s" % (
        row["op"], row["name"][:26], row["pass"], 1e3 * row["seconds"], row["gb_per_s"],
        1e-3 * row["gflop_per_s"])  # fmt: skip


def times_line(card, rows):
    """What runtime/nn/attention_times.def takes of a card: microseconds of all passes together."""
    own, theirs = (1e6 * sum(r[key] for r in rows) for key in ("own_seconds", "cudnn_seconds"))
    return 'CZ_ATTENTION_TIMES("%s", %.1f, %.1f)' % (card, own, theirs)


def cudnn_text(parts, value):
    for dtype, one in value["tests"].items():
        yield "the op's tests in %s: %s%s" % (
            dtype, one["verdict"], ", %.3f of the limit" % one["worst"] if "worst" in one else "")  # fmt: skip
    for r in value["rows"]:
        yield "%-26s %-8s %-8s cuDNN %9.4f ms, ours %9.4f ms, %.2f times" % (
            r["set"][:26], r["name"], r["pass"], 1e3 * r["cudnn_seconds"], 1e3 * r["own_seconds"],
            r["own_seconds"] / r["cudnn_seconds"])  # fmt: skip
    if value["rows"]:
        yield "for runtime/nn/attention_times.def: " + times_line(value["card"], value["rows"])


def steps_text(parts, value):
    for name, step in value.items():
        if "unwaited" not in step:
            yield "%s: %s" % (name, step.get("error", "?").split("\n")[0][:200])
            continue
        u = step["unwaited"]
        rate = 1e-3 * step["gflop_per_step"] / step["step_seconds"]
        yield "%s: %.3f ms, %.0f tokens/s, %.1f TFLOP/s, %.3f of %.0f" % (
            name, 1e3 * step["step_seconds"], step["tokens_per_s"], rate, rate / PEAK, PEAK)  # fmt: skip
        yield "  the card's part %.3f ms, the host's %.3f ms, waited for %.3f ms; waits %.1f %%" % (
            1e3 * u["device_seconds"], 1e3 * u["host_seconds"], 1e3 * u["waiting_step_seconds"],
            100 * u["host_share"])  # fmt: skip
        theirs = [(e["ms"], n) for n, e in parts.get("t5_step", {}).items()
                  if isinstance(e, dict) and "ms" in e and n.split(",")[0] == name.split(",")[0]]  # fmt: skip
        for ms, who in theirs:
            yield "  PyTorch's %s: %.3f ms, %.2f times ours" % (
                who, ms, ms / (1e3 * step["step_seconds"]))  # fmt: skip
        by_op = sorted(step["by_op"].items(), key=lambda x: -x[1]["seconds"])
        yield "  " + ", ".join(
            "%s %.3f ms (%.0f %%)" % (op, 1e3 * t["seconds"], 100 * t["share_of_step"])
            for op, t in by_op)  # fmt: skip


def pins_text(parts, value):
    for p in value["pins"]:
        if p["verdict"] == "not on this card":
            yield "%-34s %s" % (p["pin"], p["verdict"])
            continue
        yield "%-34s %-10s %6d values, %6d of other bits; worst %s %s" % (
            p["pin"], p["verdict"], p["values"], p["different"], number(p["worst"]), p["unit"])  # fmt: skip
        for f in p["first"]:
            yield "    " + json.dumps(f)


def ops_text(parts, value):
    yield "  ".join("%s %d" % pair for pair in sorted(value["verdicts"].items()))
    for op, by_dtype in sorted(value["ops"].items()):
        for dtype, one in by_dtype.items():
            if one["verdict"] != "pass":
                yield "%s in %s: %s" % (op, dtype, one["verdict"])
                yield "    " + one.get("text", "")[-400:].replace("\n", "\n      ")


def sanitizer_text(parts, value):
    of = value["coverage"]
    yield "%s; checked: %s" % (of["verdict"], " ".join(of["checked"]) or "nothing")
    if of["not_checked"]:
        yield "not checked: " + ", ".join(of["not_checked"])
    for tool, found in value.items():
        if tool in ("program", "coverage"):
            continue
        clean = [n for n, one in found.items() if one["verdict"] == "clean"]
        yield "%s: %d clean" % (tool, len(clean))
        for name, one in found.items():
            if one["verdict"] != "clean":
                yield "  %s: %s %s" % (name, one["verdict"], one.get("summary", ""))


def curves_text(parts, value):
    for name, one in value.items():
        if "loss_distance" in one:
            yield "%-20s %s: %d steps; loss %.2e apart (limit %.0e), gradient's norm %.2e (%.0e)" % (
                name, one["verdict"], one["steps"], one["loss_distance"], one["loss_limit"],
                one["norm_distance"], one["norm_limit"])  # fmt: skip
        else:
            yield "%-20s %s: %s" % (name, one["verdict"], one["text"][-200:])


def small_text(parts, value):
    yield "%s: %s" % (value["verdict"], value["text"])


def plain_text(parts, value):
    """A product a line, else an entry a line."""
    if isinstance(value, list):
        for p in value:
            yield "%-12s %-8s %-5s %7d x %5d -> %5d  %9.4f ms  %7.1f TFLOP/s" % (
                p["linear"], p["pass"], p["dtype"], p["tokens"], p["in"], p["out"], p["ms"],
                p["tflop_per_s"])  # fmt: skip
        return
    for name, entry in value.items():
        if isinstance(entry, dict):
            entry = "  ".join("%s %s" % (k, number(v)) for k, v in entry.items())
        yield "%-44s %s" % (name, number(entry))


TEXTS = {"kernels": kernels_text, "steps": steps_text, "pins": pins_text, "ops": ops_text,
         "sanitizer": sanitizer_text, "curves": curves_text, "t5-small": small_text,
         "cudnn": cudnn_text}  # fmt: skip


def gates_text(found):
    for g in found:
        value = " %.4g" % g["value"] if "value" in g else ""
        where = " (%s)" % g["where"] if "where" in g else ""
        yield "%-62s%s, at %s %g: %s%s" % (
            g["gate"], value, g["at"], g["limit"], g["verdict"], where)  # fmt: skip
        if "missing" in g:
            yield "  not measured: %s" % "; ".join(g["missing"])


def table(whole):
    parts = whole["parts"]
    lines = ["%s, driver %s, commit %s, module %s, %s" % tuple(
        whole.get(k) for k in ("card", "driver", "commit", "module", "began"))]  # fmt: skip
    if "rehearsal" in whole:
        lines.append(whole["rehearsal"])
    for part, value in parts.items():
        lines += ["", "%s (%s s)" % (part, whole.get("seconds", {}).get(part, "?"))]
        try:
            lines += ["  " + line for line in TEXTS.get(part, plain_text)(parts, value)]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            lines.append("  not as it should be: %s: %s" % (type(error).__name__, error))
    if whole.get("not_well"):
        lines += ["", "NOT WELL"]
        lines += ["  %s: %s" % (p, t.split("\n")[0][:300]) for p, t in whole["not_well"].items()]
    lines += ["", "gates"] + ["  " + line for line in gates_text(whole.get("gates", []))]
    return "\n".join(lines)


def main(words):
    if len(words) != 1 or words[0] in ("-h", "--help"):
        print(__doc__.strip())
        return 0 if words[:1] in (["-h"], ["--help"]) else 2
    whole = read(words[0])
    if not whole:
        print("gpu_table.py: %s is no file of results" % words[0], file=sys.stderr)
        return 2
    print(table(whole))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
