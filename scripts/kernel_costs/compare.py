"""What was counted beside the committed report: bytes, sectors, wavefronts, products and what is
worked out of them are the same on each machine, so that other numbers are those of other kernels.
Registers and spills are those of one version of ptxas."""

import json
import re

from . import targets

COUNTED = (
    "functions",
    "launches",
    "grid",
    "block",
    "shared_bytes",
    "moved_bytes",
    "compulsory_bytes",
    "efficiency",
    "rereading",
    "wavefronts",
    "conflict_factor",
    "mean_lanes",
    "mma",
    "shuffle",
    "barrier",
    "atomic",
    "bounds",
)
OF_PASS = ("array_bytes", "moved_bytes", "ratio")
LISTS = ("missed", "known")  # of lines of text
LINE = re.compile(r"(\.\w+):\d+\b")  # of a source, which moves with what is written above it
OF_PTXAS = ("registers", "spill_bytes", "resident_warps", "limited_by")


def _name(entry):
    text = "%s %s %s (%s)" % tuple(entry[k] for k in ("op", "name", "pass", "precision"))
    return text + ("; '%s'" % entry["kernel"] if "kernel" in entry else "")


def _of(entry, measures):
    """The entry's measures as a dictionary of those that it has."""
    return {m: entry[m] for m in measures if m in entry}


def _numbered(entries, name_of, value_of):
    """{name: value}; what has a name that is taken gets a number behind it."""
    found = {}
    for entry in entries:
        name, n = name_of(entry), 2
        while name in found:
            name, n = "%s, number %d" % (name_of(entry), n), n + 1
        found[name] = value_of(entry)
    return found


def counted(whole):
    """{what: {measure: value}} of all that does not depend on a machine or compiler."""
    found = {}
    for part, name_of, measures in (
        ("kernels", _name, COUNTED),
        ("passes", lambda p: "pass " + _name(p), OF_PASS),
        ("products", lambda p: "products of " + _name(p), ("useful",)),
        ("bench", lambda b: "%s: %s" % (b["set"], _name(b)), ("bounds",)),
    ):
        found.update(_numbered(whole[part], name_of, lambda entry, m=measures: _of(entry, m)))
    for name, step in whole["steps"].items():
        found["step " + name] = step
    for name, card in whole["cards"].items():
        found["card " + name] = card
    found["ops without kernels"] = {"names": whole["without_kernels"]}
    return found


def _lines(whole, of_ptxas):
    """{line: {}} of what misses a target, without numbers of lines; OF_PTXAS: with what another
    ptxas has otherwise."""
    found = []
    for part in LISTS:
        for text in whole[part]:
            if of_ptxas or not targets.SAID_BY_PTXAS.search(text):
                found.append("%s: %s" % (part, LINE.sub(r"\1", text)))
    return _numbered(found, lambda line: line, lambda line: {})


def _code(before, tool):
    """What the flag of the machine code says wrongly. TOOL: whether it could be read here."""
    has = any("code" in x for k in before["kernels"] for x in k["architectures"].values())
    if before["code"] != has:
        yield "code is %s, and %s kernel has some" % (before["code"], "a" if has else "no")
    if tool and not before["code"]:
        yield "code is False there, and here is what reads machine code"


def same_ptxas(before, version):
    """Whether the committed report is of this version of ptxas, which is known."""
    return version is not None and before["ptxas"] == version


def _of_ptxas(whole):
    found = {}
    for name, architectures in _numbered(
        whole["kernels"], _name, lambda k: k["architectures"]
    ).items():
        for architecture, entry in architectures.items():
            found["%s on %s" % (name, architecture)] = _of(entry, OF_PTXAS)
    return found


def _differences(before, now):
    """A line for each measure that is another, and for what one of the two lacks."""
    for what in dict.fromkeys([*before, *now]):
        if what not in now or what not in before:
            yield "%s: %s" % (what, "is not in it" if what in now else "is not counted any more")
            continue
        for measure in dict.fromkeys([*before[what], *now[what]]):
            there, here = (x[what].get(measure, "nothing") for x in (before, now))
            if there != here:
                yield "%s: %s is %s there, %s here" % (what, measure, there, here)


def of_reports(before, now, tool=False):
    """(differences, notes), both as lines, of the report that is committed and the one that was
    made now. TOOL: whether there is what reads machine code, which takes long and is not done."""
    now = json.loads(json.dumps(now))  # as it would be read
    if set(before) != set(now):
        what = ", ".join(sorted(set(before) ^ set(now)))
        return ["it is of another form: %s" % what], []
    found, notes = list(_differences(counted(before), counted(now))), []
    same = same_ptxas(before, now["ptxas"])
    found += _differences(_lines(before, same), _lines(now, same))
    found += _code(before, tool)
    if same:
        found += _differences(_of_ptxas(before), _of_ptxas(now))
    else:
        text = "registers and spills are not compared: they are of ptxas %s there, %s here"
        notes.append(text % tuple(x["ptxas"] or "of unknown version" for x in (before, now)))
    return found, notes + ["instructions of loops are not compared"]


def of_page(text, page):
    """The first line in which TEXT, of a file, is not PAGE, as a list of none or one."""
    if text == page:
        return []
    there, made = text.split("\n"), page.split("\n")
    at = next((i for i, pair in enumerate(zip(there, made)) if pair[0] != pair[1]), None)
    at = min(len(there), len(made)) if at is None else at
    return ["line %d is not the one that its numbers make" % (at + 1)]
