"""Part sanitizer of gpu_check.sh: NVIDIA's tools on the pins and on tests of ops."""

import re
import shutil

from gpu_check.runs import LEAST, SHOWN, Failed, by_length, op_environment, reason, some_ops


def find_sanitizer(check):
    beside = ["/usr/local/cuda/bin/compute-sanitizer", "/usr/local/cuda/compute-sanitizer/compute-sanitizer"]  # fmt: skip
    for name in [check.sanitizer] if check.sanitizer else ["compute-sanitizer", *beside]:
        path = shutil.which(name)
        if path:
            return path
    raise Failed("there is no compute-sanitizer")


# How what a tool found begins; what it says of itself and of the program's end is nothing found.
FINDING = re.compile(
    r"^=========\s+(?:Invalid|Misaligned|Uninitialized|Barrier error|Malloc/Free|Program hit|Leaked"
    r"|(?:Error|Warning): (?:Race|Potential)).*", re.MULTILINE | re.IGNORECASE
)  # fmt: skip


def sanitized(op, code, out, said):
    """What the tool found. Clean is only what came to its good end: the summary says nothing
    of a program that ended before it did anything. It comes last: of a run that was ended before
    it, what was found by then counts. OP: whose tests ran, None: the pins."""
    text = out + said
    summary = re.search(r"(?:ERROR|RACECHECK) SUMMARY: (.*)", text)
    wrong = summary and not re.match(r"0 (errors|hazards)", summary.group(1))
    found = None if summary else FINDING.search(text)
    if wrong or found:
        lines = "\n".join(line for line in text.splitlines() if line.startswith("========="))
        what = summary.group(1) if wrong else found.group().lstrip("= ")
        return {"verdict": "fail", "summary": what, "text": lines[:SHOWN]}
    ended = code == 0 and (op is None or re.search(r"^\[\s+OK \] %s$" % op, text, re.M))
    if summary and ended:
        return {"verdict": "clean", "summary": summary.group(1)}
    return {"verdict": "no time" if code is None else "did not run", "text": reason(code, text)}


TOOLS = ("memcheck", "racecheck", "synccheck", "initcheck")


def sanitizer_jobs(check, program):
    """The pins under every tool, small cases of every op under two; the cheapest first."""

    def job(tool, what, words, extra):
        flags = ["--tool", tool, "--launch-timeout", "60", "--print-limit", "5"]
        return ((tool, what), [program, *flags, *words], extra)

    pins = check.program("pins_emu" if check.emulated else "pins")
    jobs = [job(tool, "pins", [pins, "run", check.work / ("pins." + tool)], {}) for tool in TOOLS]
    ops = some_ops(check)[: 1 if check.emulated else None]
    return jobs + [job(tool, "%s in %s" % (op, dtype), [check.program("test_ops")],
                       op_environment(check, op, dtype, 0))
                   for op in reversed(by_length(ops)) for tool in TOOLS[:2]
                   for dtype in ("bf16", "f32")]  # fmt: skip


# what the part is where some runs end so; of several the last
OF_SOME = (("no time", "incomplete"), ("did not run", "did not run"), ("fail", "fail"))


def coverage(jobs, found):
    """What all of the part's runs together say. Checked is what a tool has seen to its end or found
    wrong; incomplete where time ran out for some."""
    runs = [(tool, what, found.get(tool, {}).get(what, {"verdict": "no time"}))
            for (tool, what), _, _ in jobs]  # fmt: skip
    out = {"verdict": "clean", "runs": {}, "checked": [], "not_checked": [], "errors": []}
    for tool, what, one in runs:
        verdict = one["verdict"]
        out["runs"][verdict] = out["runs"].get(verdict, 0) + 1
        if verdict == "fail":
            out["errors"].append("%s of %s" % (tool, what))
        elif verdict != "clean":
            out["not_checked"].append("%s of %s" % (tool, what))
    missing = {text.split(" ")[2] for text in out["not_checked"]}
    names = dict.fromkeys(what.split(" ")[0] for _, what, _ in runs)
    out["checked"] = [name for name in names if name not in missing]
    for verdict, whole in OF_SOME:
        if verdict in out["runs"]:
            out["verdict"] = whole
    return out


def coverage_text(of):
    text = ", ".join("%s %d" % pair for pair in sorted(of["runs"].items()))
    if of["errors"]:
        text += "; errors in: " + ", ".join(of["errors"])
    if "no time" in of["runs"]:
        text = "incomplete: %s" % text
    if of["not_checked"]:
        text += "; checked: %s" % (" ".join(of["checked"]) or "nothing")
        text += "; not checked: %s" % ", ".join(of["not_checked"])
    return text


def part(check):
    """NVIDIA's tools on the pins and on small cases of every op. A run that is ended because its
    share of the time is over has another turn when the others are done, but for one in which
    something was found by then."""
    program, found = find_sanitizer(check), {}
    jobs = sanitizer_jobs(check, program)

    def done(name, code, out, said, seconds):
        tool, what = name
        op = None if what == "pins" else what.split(" ")[0]
        one = {**sanitized(op, code, out, said), "seconds": round(seconds, 2)}
        found.setdefault(tool, {})[what] = one
        of = coverage(jobs, found)
        check.results.put("sanitizer", {"program": program, "coverage": of, **found})

    turn = jobs
    while turn:
        check.pool(turn, check.shares(len(turn)), done)
        late = check.left() < LEAST
        turn = [] if late else [j for j in jobs if found[j[0][0]][j[0][1]]["verdict"] == "no time"]
    of = coverage(jobs, found)
    if of["verdict"] != "clean":
        raise Failed(coverage_text(of))
