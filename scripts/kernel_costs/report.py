"""The report: counts, ptxas' account, machine code and bounds, joined by kernel."""

import json
import os

from . import bounds, cards, counts, ptxas, sass, steps, targets, work

WHAT = (
    "Counted in the emulator and worked out from published rates of the cards: bounds, that is, "
    "the least time that is possible, and never times that were measured."
)


def sizes_of(shapes):
    """{(set, op, name): sizes} of a list as experiments/bench has them."""
    return {
        (name, entry["op"], entry.get("name", "")): entry
        for name, entries in shapes.items()
        for entry in entries
    }


def _key(p):
    return p["set"], p["op"], p["name"]


def refused(passes):
    """[(op, why)] of ops without kernels, each once."""
    return sorted({(p["op"], p["refused"]) for p in passes if "refused" in p})


UNJUDGED = "no more than a note, since the report is of another ptxas: "


class Misses:
    """What misses a target; what is the same in several precisions is said once. UNJUDGED:
    measures of which it is noted alone."""

    def __init__(self, unjudged=()):
        self.unjudged = unjudged
        self.found = {}  # (op, name, pass, what, why it is known, measure): precisions
        self.seen = set()  # keys of misses
        self.new, self.known, self.stale, self.notes = [], [], [], []  # lines

    def add(self, p, misses):
        for miss in misses:
            name = ", kernel '%s' " % miss.kernel["kernel"] if miss.kernel else ": "
            of = p["op"], p["name"], p.get("pass")
            key = (*of, name + miss.text, miss.known(), miss.measure)
            self.found.setdefault(key, []).append(p["precision"])
            self.seen.add(miss.key())

    def say(self, measure, text, why):
        """A line of a miss, which is known to be one where there is a reason WHY."""
        if measure in self.unjudged:
            self.notes.append(UNJUDGED + text)
        elif why:
            self.known.append(text + ". " + why)
        else:
            self.new.append(text)

    def say_all(self, spills):
        """Lines of all that was found, of SPILLS, and of what is known and was not found."""
        for (op, name, pass_name, what, why, measure), precisions in self.found.items():
            text = " ".join(filter(None, (op, name, pass_name)))
            self.say(measure, text + " (%s)%s" % (", ".join(precisions), what), why)
        for miss in spills:
            self.say(miss.measure, miss.text, miss.known())
            self.seen.add(miss.key())
        for measure, text in targets.stale(self.seen):
            if measure in self.unjudged:
                self.notes.append(UNJUDGED + text)
            else:
                self.stale.append(text)


def missed(passes, sizes, files, same_ptxas=True):
    """(new, known, stale, notes): lines for all that misses a target, for what is known to and does
    not, and for what of both another ptxas than the report's is the reason of."""
    found = Misses(() if same_ptxas else targets.BY_PTXAS)
    texts = ptxas.demangle(f for p in passes for k in p["kernels"] for f in k["functions"])
    for p in passes:
        if "refused" not in p:
            found.add(p, targets.of_bytes(p, sizes[_key(p)]) + targets.of_pass(p))
            found.add(p, targets.of_turns(p, files, texts))
            found.add(p, targets.of_arrays(p, sizes[_key(p)]))
            if p["op"] == "attention":
                found.add(p, targets.of_attention(p, sizes[_key(p)]))
        elif "has no" in p["refused"]:
            found.add(p, [targets.Miss(None, "missing", 1, "there is no kernel")])
    for first, second in _twice_as_long(passes, sizes):
        found.add(second, targets.of_growth(first, second))
    found.say_all(targets.of_spills(files))
    return found.new, found.known, found.stale, found.notes


def _twice_as_long(passes, sizes):
    """Pairs of attention that differ in nothing but a sequence twice as long."""
    of = [(sizes[_key(p)], p) for p in passes if p["op"] == "attention" and "refused" not in p]
    for short, first in of:
        twice = {**short, "queries": 2 * short["queries"], "keys": 2 * short["keys"]}
        for long, second in of:
            same = {**long, "name": short.get("name")} == twice
            if same and all(first[k] == second[k] for k in ("pass", "precision")):
                yield first, second


def summary(passes, new, known):
    counted = [p for p in passes if "refused" not in p]
    kernels = sum(len(p["kernels"]) for p in counted)
    return "%d passes of %d ops counted, %d kernels; %d targets missed, %d more known to be" % (
        len(counted),
        len({p["op"] for p in counted}),
        kernels,
        len(new),
        len(known),
    )


class Code:
    """Descriptions of functions' machine code, read where they are asked for. TOOL: what reads it;
    None: nothing does."""

    def __init__(self, build, tool):
        self.build, self.tool, self.files = build, tool, {}

    def of(self, file, architecture, mangled):
        if not self.tool:
            return None
        if (file, architecture) not in self.files:
            path = os.path.join(self.build, "cuda", file + ".o")
            self.files[file, architecture] = sass.functions(
                sass.dump(self.tool, architecture, path)
            )
        found = self.files[file, architecture].get(mangled)
        return sass.describe(found) if found else None


def _issue_estimate(kernel, code):
    """Warp instructions of all kinds, if the hottest loop is all of the kernel."""
    accesses = sum(code["loop"].get(unit, 0) for unit in ("global", "shared"))
    tensor = code["loop"].get("tensor", 0)
    if tensor and kernel["mma"]:
        return kernel["mma"] * code["loop"]["all"] / tensor
    kinds = counts.GLOBAL + counts.SHARED
    requests = sum(kernel[kind]["requests"] for kind in kinds)
    return requests * code["loop"]["all"] / accesses if accesses else None


def _on_architectures(op, kernel, files, texts, code):
    """{architecture: {...}} of the kernel's functions; one that was launched in several instances
    is described by its largest."""
    threads = kernel["block"][0] * kernel["block"][1] * kernel["block"][2]
    found = {}
    for architecture in cards.MULTIPROCESSORS:
        best = None
        for function in kernel["functions"]:
            x = ptxas.of_function(files, op, architecture, texts[function])
            if x and (not best or x["registers"] > best["registers"]):
                best = x
        if not best:
            continue
        warps, why = cards.resident(
            architecture, best["registers"], threads, kernel["shared_bytes"]
        )
        entry = found[architecture] = {
            "registers": best["registers"],
            "spill_bytes": best["spill_stores"] + best["spill_loads"],
            "resident_warps": warps,
            "limited_by": why,
        }
        described = code.of(best["file"], architecture, best["mangled"])
        if described:
            entry["code"] = described
            estimate = _issue_estimate(kernel, described)
            if estimate:
                entry["instructions_estimate"] = round(estimate)
    return found


def _bound(p, kernel, special):
    """{card: {"seconds", "by"}} of one launch at the counted sizes."""
    quantities = bounds.of_kernel(kernel, special)
    found = {}
    for card in cards.CARDS:
        seconds, by = bounds.largest(bounds.seconds(card, p["precision"], quantities))
        found[card] = {"seconds": float("%.4g" % seconds), "by": by}
    return found


def _kernel(p, kernel, n, files, texts, code):
    return {
        "op": p["op"],
        "name": p["name"],
        "pass": p["pass"],
        "precision": p["precision"],
        "kernel": kernel["kernel"],
        "functions": sorted(ptxas.short(texts[f]) for f in kernel["functions"]),
        "launches": kernel["launches"],
        "grid": kernel["grid"],
        "block": kernel["block"],
        "shared_bytes": kernel["shared_bytes"],
        "moved_bytes": counts.moved_bytes(kernel),
        "compulsory_bytes": counts.compulsory_bytes(kernel),
        "efficiency": round(counts.efficiency(kernel), 4),
        "rereading": round(counts.rereading(kernel), 4),
        "wavefronts": counts.wavefronts(kernel),
        "conflict_factor": round(counts.conflict_factor(kernel), 4),
        "mean_lanes": round(counts.mean_lanes(kernel), 2),
        "mma": kernel["mma"],
        "shuffle": kernel["shuffle"],
        "barrier": kernel["barrier"],
        "atomic": kernel["atomic"]["requests"],
        "bounds": _bound(p, kernel, bounds.special_of(p, kernel, n)),
        "architectures": _on_architectures(p["op"], kernel, files, texts, code),
    }


def _bench(counted, bench):
    """Bounds at the sizes that are timed on a card (experiments/bench/kernels.json)."""
    rows = []
    for (name, op, entry), n in sizes_of(bench).items():
        for precision in ("bf16", "f32"):
            for pass_name in ("forward", "backward"):
                bound = {
                    card: counted.bound(card, op, pass_name, precision, n) for card in cards.CARDS
                }
                if all(bound.values()):
                    row = {"set": name, "op": op, "name": entry, "pass": pass_name}
                    rows.append({**row, "precision": precision, "bounds": bound})
    return rows


def _useful(p, n):
    """The part of the tensor instructions' products that the op's own count has."""
    executed = sum(counts.mma_flop(k) for k in p["kernels"])
    if not executed or p["op"] != "attention":
        return None
    each = n["head_size"] * (8 if p["pass"] == "backward" else 4)
    return round(work.units_of(p["op"], n) * each / executed, 4)


def _pass(p, n):
    moved, arrays = targets.bytes_of_pass(p, n)
    of = {key: p[key] for key in ("op", "name", "pass", "precision")}
    return {**of, "array_bytes": arrays, "moved_bytes": moved, "ratio": round(moved / arrays, 4)}


def make(passes, sizes, files, bench, misses, build, tool=None):
    """The whole report, as it is written as JSON. TOOL, of sass.find_tool(), reads machine code;
    None: none is described."""
    # what float16 has beside bfloat16 is in "missed"
    found = [p for p in passes if "refused" not in p and p["precision"] != "fp16"]
    texts = ptxas.demangle(f for p in found for k in p["kernels"] for f in k["functions"])
    code = Code(build, tool)
    counted = bounds.Counted(passes, sizes)
    return {
        "what": WHAT,
        "code": bool(code.tool),
        "ptxas": ptxas.version(build),
        "cards": cards.CARDS,
        "kernels": [
            _kernel(p, k, sizes[_key(p)], files, texts, code) for p in found for k in p["kernels"]
        ],
        "passes": [
            _pass(p, sizes[_key(p)]) for p in found if p["op"] not in targets.OF_THEIR_OWN
        ],
        "products": [
            {"op": p["op"], "name": p["name"], "pass": p["pass"], "precision": p["precision"]}
            | {"useful": _useful(p, sizes[_key(p)])}
            for p in found
            if _useful(p, sizes[_key(p)]) is not None
        ],
        "bench": _bench(counted, bench),
        "steps": {
            name: {
                "flop": steps.model_flop(step),
                "bounds": {c: steps.bound(counted, c, "bf16", step) for c in cards.CARDS},
            }
            for name, step in steps.STEPS.items()
        },
        "missed": misses[0],
        "known": misses[1],
        "without_kernels": [op for op, why in refused(passes) if "has no" in why],
    }


def text_of(whole):
    """As JSON with a line for each kernel and each row."""
    parts = []
    for name, value in whole.items():
        if isinstance(value, list) and value:
            items = ",\n".join("  " + json.dumps(x) for x in value)
            parts.append(' "%s": [\n%s\n ]' % (name, items))
        elif isinstance(value, dict) and value:
            items = ",\n".join('  "%s": %s' % (k, json.dumps(v)) for k, v in value.items())
            parts.append(' "%s": {\n%s\n }' % (name, items))
        else:
            parts.append(' "%s": %s' % (name, json.dumps(value)))
    return "{\n" + ",\n".join(parts) + "\n}\n"
