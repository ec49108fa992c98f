"""docs/kernels.md, of the report."""

HEAD = """# What is known of the CUDA kernels without a card

Written by `scripts/kernel_report.py`, which reads a build; the numbers as JSON, and more of them, are
in [experiments/results/kernels](../experiments/results/kernels/kernels.json). They are counted in the
emulator (`tests/emulator`) and worked out from published rates of cards: **bounds**, the least time
that is possible, never times that were measured. What was measured on a card stands in
`experiments/results/gpu`.

- A kernel's bound is the largest of: bytes of global memory at the memory's rate, as if nothing
  stayed in L2 from one launch to the next; products of tensor instructions at their peak; exponentials
  and other special functions at 16 a clock and multiprocessor; wavefronts of shared memory at one;
  and instructions of warps that the emulator sees, no arithmetic among them, at four. The bound of a
  pass is the sum of its launches' and of the library's products', that of a step the sum of its ops'.
  That launches take time themselves and wait for each other is in none.
- Percentages are shares of the card's peak in bf16, and bounds count products at it: 989 TFLOP/s on
  Hopper, which `wgmma` has. Attention's products are `mma.sync`, which reaches some 62 % of that
  there, so that its own bound is too low by as much where products are what it waits for.
- Counts are exact and the same on every machine, at the small sizes of
  `experiments/bench/counted.json`. Bounds at other sizes grow from them with bytes and elements.
- The test `kernel_report` holds the counts to targets: accesses to global memory at least 95 %
  efficient, bytes at most 1.05 times the compulsory ones (each byte once a launch), those of all
  launches of a pass at most 1.05 times its arrays' (each array once a pass), and attention's at
  most 1.1 times what its tiles imply, none of order S^2, bank-conflict factor at most 1.05, no
  atomics, no spills, and no more blocks of a norm than are resident at once. A kernel with less
  than a twentieth of its pass is held to neither bytes nor conflicts.
- It also holds what is counted to this report, so that the report is that of the kernels beside it;
  registers and spills only where ptxas has the version that the JSON names.
"""


def _table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join("---" for _ in head) + "|"]
    return "\n".join(lines + ["| " + " | ".join(str(x) for x in row) + " |" for row in rows])


def _time(seconds):
    for unit, size in (("s", 1), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return "%.3g %s" % (seconds / size, unit)
    return "%.1g µs" % (1e6 * seconds)


def _steps(report):
    names = list(report["cards"])
    rows = []
    for name, step in report["steps"].items():
        row = [name, "%.3g" % (1e-12 * step["flop"])]
        for card in names:
            b = step["bounds"][card]
            text = _time(b["seconds"])
            if not b["missing"]:
                share = step["flop"] / b["seconds"] / report["cards"][card]["tensor"]["bf16"]
                text += " (%d %%)" % round(100 * share)
            row.append(text)
        rows.append(row)
    text = _table(["step, bf16", "TFLOP"] + names, rows)
    missing = sorted(
        {op for s in report["steps"].values() for op in s["bounds"][names[0]]["missing"]}
    )
    if missing:
        text += "\n\nWithout " + ", ".join(missing) + ", which have no kernels yet."
    return text


def _by_op(report, card):
    names = list(report["steps"])
    ops = sorted({op for s in report["steps"].values() for op in s["bounds"][card]["by_op"]})
    rows = []
    for op in ops:
        row = [op]
        for name in names:
            entry = report["steps"][name]["bounds"][card]["by_op"].get(op)
            row.append("%s, %d" % (_time(entry["seconds"]), entry["calls"]) if entry else "")
        rows.append(row)
    return _table(["op on " + card] + names, rows)


def _bench(report):
    names = list(report["cards"])
    rows = []
    for r in report["bench"]:
        if r["precision"] == "bf16":
            bounds = [
                "%s, %s" % (_time(r["bounds"][c]["seconds"]), r["bounds"][c]["by"]) for c in names
            ]
            rows.append([r["set"], r["op"] + " " + r["name"], r["pass"]] + bounds)
    return _table(["list", "op", "pass"] + names, rows)


def _resident(kernel, architecture):
    x = kernel["architectures"].get(architecture)
    return "%d, %d (%s)" % (x["registers"], x["resident_warps"], x["limited_by"]) if x else ""


def _counts(report):
    rows = [
        [
            "%s %s" % (k["op"], k["name"]),
            k["pass"],
            k["kernel"],
            k["moved_bytes"],
            "%.3f" % k["rereading"],
            "%.3f" % k["efficiency"],
            "%.3f" % k["conflict_factor"] if k["wavefronts"] else "",
            _resident(k, "sm_80"),
            _resident(k, "sm_90a"),
        ]
        for k in report["kernels"]
        if k["precision"] == "bf16"
    ]
    head = ["op", "pass", "kernel", "bytes moved", "/ compulsory", "efficiency", "conflicts"]
    return _table(head + ["sm_80: registers, warps", "sm_90a"], rows)


PASSES = """Bytes that all launches of a pass move, with what is set to zero before them, to those of the
arrays that it reads and writes, each once. Attention has the rule of its tiles; products are the
library's.
"""


def _passes(report):
    rows = [
        ["%s %s" % (p["op"], p["name"]), p["pass"], p["moved_bytes"], p["array_bytes"]]
        + ["%.3f" % p["ratio"]]
        for p in report["passes"]
        if p["precision"] == "bf16"
    ]
    return _table(["op", "pass", "bytes moved", "of its arrays", "ratio"], rows)


UNITS = (
    "tensor",
    "float",
    "special",
    "convert",
    "integer",
    "global",
    "shared",
    "shuffle",
    "branch",
)


def _issue_to_bound(report, kernel):
    """Time of the instructions' issue slots, estimated, to the kernel's bound, on the H100."""
    estimate = kernel["architectures"]["sm_90a"].get("instructions_estimate")
    card, seconds = report["cards"]["H100 SXM"], kernel["bounds"]["H100 SXM"]["seconds"]
    if not estimate or not seconds:
        return ""
    return "%.2f" % (estimate / (4 * card["multiprocessors"] * card["clock"]) / seconds)


def _code(report):
    rows, seen = [], set()
    for k in report["kernels"]:
        x = k["architectures"].get("sm_90a", {}).get("code")
        if k["precision"] != "bf16" or not x or tuple(k["functions"]) in seen:
            continue
        seen.add(tuple(k["functions"]))
        name = "%s: %s" % (k["op"], " ".join("`%s`" % f for f in k["functions"]))
        units = [x["loop"].get(unit, "") for unit in UNITS]
        rows.append([name, x["loop"]["all"], *units, _issue_to_bound(report, k)])
    return _table(["function", "all", *UNITS, "issue / bound"], rows)


CODE = """The last column is an estimate: what the issue of all instructions takes, if this loop is all of
the kernel, to the bound on the H100, in which arithmetic has no part. Above 1 the instructions, not
the memory, are likely to be what the kernel waits for.
"""


def _useful(report):
    rows = [
        ["%s %s" % (p["op"], p["name"]), p["pass"], "%.2f" % p["useful"]]
        for p in report["products"]
        if p["precision"] == "bf16"
    ]
    return _table(["op", "pass", "useful"], rows)


USEFUL = """Products that the op's own count has (of scores that the mask lets see; backward twice forward) to
those that tensor instructions execute. Backward computes scores and their gradients' products again,
nine products where the count has four; edges of tiles are the rest.
"""


def _list(lines):
    return "\n".join("- " + line for line in lines) or "Nothing."


def make(report):
    parts = [HEAD, "## Steps\n", _steps(report)]
    parts += [
        "",
        _by_op(report, "H100 SXM") + "\n\nIn each field: the sum of the bounds, and calls.",
    ]
    parts += ["## Bounds of each op at the sizes that are timed, bf16\n", _bench(report)]
    parts += ["## Counts, bf16\n", _counts(report)]
    parts += ["## Bytes of passes, bf16\n", PASSES, _passes(report)]
    if report["code"]:
        parts += ["## Instructions of the hottest inner loop, bf16, sm_90a\n", CODE, _code(report)]
    if report["products"]:
        parts += ["## Useful products of tensor instructions\n", USEFUL, _useful(report)]
    parts += ["## What misses a target\n", _list(report["missed"])]
    parts += ["## What is known to miss one, and why\n", _list(report["known"])]
    return "\n".join(parts).replace("\n##", "\n\n##") + "\n"
