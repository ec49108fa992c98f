#!/usr/bin/env python3
"""Rehearses gpu_check.sh: every part with tiny sizes on the emulated module, and what only a card can
say made up. All that a card's run writes must be written, and what is not well must be said.

  test_gpu_check.py BUILD
"""

import argparse
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
sys.dont_write_bytecode = True
import gpu_curves  # noqa: E402
import gpu_parts  # noqa: E402
import gpu_table  # noqa: E402
from gpu_check import runs, sanitizer  # noqa: E402

# what NVIDIA's tool prints, without looking, with the exit code of the program that it ran; RUNS
# says what it runs in the place of what it was given, LOG where it notes what it was called for,
# SLOW for what it needs how many seconds: "TOOL of OP SECONDS", FOUND what it finds at once then
SANITIZER = """#!/bin/bash
while [ "${1#--}" != "$1" ]; do [ "$1" = --tool ] && tool=$2; shift 2; done
what="$tool of ${CZ_TEST_OPS:-pins}"
[ -z "${LOG-}" ] || echo "$what" >>"$LOG"
[ "${SLOW% *}" != "$what" ] || { echo "${FOUND-}" && sleep "${SLOW##* }"; }
${RUNS:-"$@"}
code=$?
case "$tool" in
  racecheck) echo "========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)" ;;
  memcheck) echo "========= ERROR SUMMARY: ${FAULTS:-0} errors" ;;
  *) echo "========= ERROR SUMMARY: 0 errors" ;;
esac
exit $code
"""


def check(build, out, *words, env=None):
    """(exit code, the results, what was printed)."""
    command = [ROOT / "scripts/gpu_check.sh", "--device", "emu", "--build", build, "--out", out]
    done = subprocess.run(
        [*command, *words], capture_output=True, text=True, env={**os.environ, **(env or {})}
    )
    path = pathlib.Path(out) / ("emulator-quick.json" if "--quick" in words else "emulator.json")
    results = json.loads(path.read_text()) if path.exists() else None
    return done.returncode, results, done.stdout + done.stderr


def rehearse(build, folder):
    tool = folder / "sanitizer"
    tool.write_text(SANITIZER)
    tool.chmod(0o755)
    code, results, said = check(build, folder / "out", "--sanitizer", tool, "--seconds", "600")
    assert results, said
    for part, text in results["not_well"].items():
        found = results["parts"].get(part, {})
        # only kernels that are still to be written may be missing
        assert "has no" in text + json.dumps(found), (part, text, said[-2000:])
    assert code == (1 if results["not_well"] else 0), (code, said)
    named = {n for n, *_ in gpu_parts.PARTS if n not in ("opponents", "compiled")}
    missing = named - set(results["parts"]) - set(results["not_well"])
    assert not missing, missing
    assert set(results["seconds"]) == {n for n, *_ in gpu_parts.PARTS}
    assert re.fullmatch("[0-9a-f]{16}", results["module"]), results["module"]
    assert results["parts"]["pins"]["pins_that_differ"] == 0
    assert results["parts"]["sanitizer"]["racecheck"]["pins"]["verdict"] == "clean"
    assert len(results["gates"]) == len(gpu_table.GATES)
    for name in ("emulator.json", "emulator.txt", "emulator.pins.xz"):
        assert (folder / "out" / name).stat().st_size > 0, name
    assert len(list((folder / "out").iterdir())) <= 8  # what comes back from a lent machine
    return results


def expect_kept_and_left_out(build, folder, whole):
    """Parts that are run again replace theirs and keep the others; without time nothing is run."""
    code, results, said = check(build, folder / "out", "--only", "pins")
    assert code == 0, said
    assert set(results["parts"]) == set(whole["parts"])
    code, results, said = check(build, folder / "late", "--only", "pins,card", "--seconds", "1")
    assert code == 1 and set(results["not_well"]) == {"pins", "card"}, said
    assert not results["parts"]


def refused(folder, *words):
    """(exit code, what was said) of a call on a machine whose driver shows no card."""
    (folder / "bin").mkdir(exist_ok=True)
    driver = folder / "bin/nvidia-smi"
    driver.write_text("#!/bin/sh\nexit 9\n")
    driver.chmod(0o755)
    path = "%s:%s" % (driver.parent, os.environ["PATH"])
    done = subprocess.run([ROOT / "scripts/gpu_check.sh", "--out", folder / "none", *words],
                          capture_output=True, text=True, env={**os.environ, "PATH": path})  # fmt: skip
    assert not (folder / "none").exists() and not done.stdout, (words, done.stdout)
    return done.returncode, done.stderr


def expect_usage(build, folder):
    """What is wrong with a call is said in one line, whether there is a card or not."""
    (folder / "garbage").write_text("no archive\n")
    (folder / "empty").mkdir()
    programs = ["--build", build]
    for words, said in (
        (["--nothing"], "unknown option --nothing"),
        (["--seconds"], "--seconds needs a value"),
        (["--bundle", "--quick"], "--bundle needs a value"),
        (["--only"], "--only needs a value"),
        (["nosuch"], "no part 'nosuch'; there are ceilings card copy "),
        (["--only", "ops,nosuch"], "no part 'nosuch'"),
        (["--only", "-x"], "no part '-x'"),
        (["--seconds", "soon"], "--seconds: 'soon' is no number of seconds above 0"),
        (["--seconds", "-3"], "--seconds: '-3' is no number"),
        (["--seconds", "nan"], "--seconds: 'nan' is no number"),
        (["--device", "cpu"], "--device: invalid choice: 'cpu'"),
        (["--sanitizer", folder / "nosuch"], "nosuch is no program"),
        (["--out", folder / "garbage/below"], "no file can be written in %s" % (folder / "garbage")),
        (["--out", folder / ("x" * 300) / "below"], "File name too long"),
        (["--bundle", folder / "nosuch"], "nosuch is no bundle"),
        (["--bundle", folder / "garbage"], "garbage cannot be unpacked"),
        (["--bundle", folder / "empty"], "empty is no bundle"),
        (["--bundle", folder / "empty", *programs], "--bundle and --build name programs both"),
        (["--build", folder / "empty"], "has no program"),
    ):
        code, text = refused(folder, *words)
        assert code == 2 and said in text and text.count("\n") == 1, (words, code, text)
    assert refused(folder, *programs, "ops") == (3, "gpu_check.sh: no NVIDIA card on this machine\n")
    code, _, text = check(build, folder / "none", "--only", "nosuch")
    assert code == 2 and "no part 'nosuch'" in text and not (folder / "none").exists(), text


def expect_out(build, folder):
    """A relative $OUT is one of the caller's folder, as --out is."""
    command = [ROOT / "scripts/gpu_check.sh", "--device", "emu", "--build", build, "card"]
    for out, words in (("named", ["--out", "given"]), ("of/variable", [])):
        done = subprocess.run([*command, *words], capture_output=True, text=True, cwd=folder,
                              env={**os.environ, "OUT": out})  # fmt: skip
        there = folder / (words[-1] if words else out)
        assert done.returncode == 0 and (there / "emulator.json").exists(), done.stderr
        assert not (ROOT / out).exists() and not (folder / "named").exists()


def expect_faults(build, folder):
    """A tool's finding is one of the part's."""
    tool = folder / "sanitizer"
    words = ["--only", "sanitizer", "--sanitizer", tool]
    code, results, _ = check(build, folder / "faults", *words, env={"FAULTS": "3"})
    assert code == 1 and "errors in" in results["not_well"]["sanitizer"]
    found = results["parts"]["sanitizer"]["memcheck"]["pins"]
    assert found["verdict"] == "fail" and found["summary"] == "3 errors", found
    # programs that end before they do anything, and such as say nothing of their op
    for program, counted in (
        ("false", "did not run 8; checked: nothing; not checked: "),
        ("true", "clean 4, did not run 4; checked: pins; not checked: "),
    ):
        code, results, said = check(build, folder / program, *words, env={"RUNS": program})
        assert code == 1 and results["not_well"]["sanitizer"].startswith(counted), (results, said)
        assert results["parts"]["sanitizer"]["coverage"]["verdict"] == "did not run"


def expect_sanitized():
    """Clean is what came to its end, of an op with its tests."""
    clean, passed = "========= ERROR SUMMARY: 0 errors\n", "[       OK ] add\n"
    head = "========= COMPUTE-SANITIZER\n"
    for op, code, text, verdict in (
        ("add", 0, passed + clean, "clean"),
        (None, 0, clean, "clean"),
        ("add", 0, "[       OK ] adding\n" + clean, "did not run"),
        ("add", 0, clean, "did not run"),
        ("add", 139, passed + clean, "did not run"),
        (None, 139, clean, "did not run"),
        ("add", 1, "no such program", "did not run"),
        ("add", 0, passed, "did not run"),  # not under the tool
        ("add", None, passed, "no time"),
        ("add", None, passed + clean, "no time"),
        ("add", 0, passed + "========= ERROR SUMMARY: 10 errors\n", "fail"),
        ("add", None, "========= RACECHECK SUMMARY: 2 hazards displayed\n", "fail"),
        # the summary comes last, what was found before it
        ("add", None, head + "========= Invalid __global__ read of size 4 bytes\n", "fail"),
        ("add", 139, passed + "========= Misaligned Shared or Local Address\n", "fail"),
        (None, None, "========= Error: Race reported between Write access at 0x60\n", "fail"),
        (None, None, "========= Warning: Race reported between Read access at 0x60\n", "fail"),
        (None, None, "========= Barrier error detected. Divergent threads in block\n", "fail"),
        (None, None, "========= Uninitialized __global__ memory read of size 4\n", "fail"),
        (None, None, "========= Program hit cudaErrorInvalidValue (error 1)\n", "fail"),
        # of the tool itself and of how the program ended, of the program's own
        (None, 1, "========= Error: process didn't terminate successfully\n", "did not run"),
        (None, 1, "========= Target application returned an error\n", "did not run"),
        (None, None, "Invalid words\n========= Error: a kernel timed out\n", "no time"),
        (None, None, head, "no time"),
    ):
        found = sanitizer.sanitized(op, code, text, "")
        assert found["verdict"] == verdict, (op, code, text, found)
    text = head + "========= Invalid read\n=========     at f\n"
    found = sanitizer.sanitized("add", None, text, "")
    assert found["summary"] == "Invalid read" and found["text"].endswith("=     at f"), found


def sanitizer_part(folder, ends):
    """What part sanitizer says of programs that end so, {(tool, what): (exit code, text)}, where
    those that are not named end well."""
    arguments = argparse.Namespace(
        programs=folder, device="emu", quick=False, sanitizer="/bin/true", seconds=600, out=folder
    )
    check = runs.Check(arguments, folder)
    check.program = str

    def pool(jobs, seconds, done):
        for (tool, what), _, _ in jobs:
            op = "[       OK ] %s\n" % what.split(" ")[0]
            code, text = ends.get((tool, what), (0, op + "========= ERROR SUMMARY: 0 errors"))
            done((tool, what), code, text, "", 1.0)
        check.part_ends = 0

    check.pool = pool
    gpu_parts.run_part(check, ("sanitizer", 600, 0, sanitizer.part))
    return check.results.whole["not_well"].get("sanitizer")


def expect_all_sanitized(folder):
    """One program that did not come to its end makes the part not well."""
    (folder / "sanitized").mkdir()
    assert sanitizer_part(folder / "sanitized", {}) is None
    clean = "========= ERROR SUMMARY: 0 errors"
    for end, said in (((139, clean), "clean 7, did not run 1"),
                      ((None, ""), "incomplete: clean 7, no time 1")):  # fmt: skip
        text = sanitizer_part(folder / "sanitized", {("racecheck", "add in f32"): end})
        assert text == said + "; checked: pins; not checked: racecheck of add in f32", text


def shared_out(jobs, workers, seconds, costs):
    """How many of JOBS, which take so many seconds each, come to their end in shares of SECONDS, by
    a clock of its own."""
    check, now = object.__new__(runs.Check), [0.0]
    check.left = lambda: seconds - now[0]
    check.lock, check.workers = threading.Lock(), workers
    share, free, ended = check.shares(jobs), [0.0] * workers, 0
    for cost in costs:
        now[0] = free[0]  # of the worker that is free first
        limit = min(share(), check.left())
        ended += 0 < limit >= cost
        free = sorted([now[0] + max(0, min(cost, limit)), *free[1:]])
    return ended


def expect_shares():
    """Where every run takes somewhat longer than its share, as many come to their end as there is
    time for. One that takes far longer leaves most of the time to the others."""
    assert shared_out(68, 8, 6, [0.9] * 68) == 48  # a share is 0.7 s
    for jobs, workers, seconds in ((68, 8, 60), (68, 8, 6), (12, 2, 30), (72, 8, 90)):
        cost = 1.3 * seconds * workers / jobs
        ended = shared_out(jobs, workers, seconds, [cost] * jobs)
        assert ended == workers * int(seconds / cost) > jobs // 2, (jobs, ended)
    assert shared_out(68, 8, 60, [5] * 68) == 68
    assert shared_out(68, 8, 60, [1] * 40 + [600] + [1] * 27) == 67
    assert shared_out(68, 8, 600, [600] * 7 + [10] * 61) == 61


def sanitizer_turns(folder, slow, found=""):
    """What part sanitizer does in eight seconds where three ops exist and one run is SLOW, in which
    the tool has FOUND something: (what is not well with it, its results, what the tool was called
    for, the order of the runs)."""
    folder.mkdir()
    tests = '#!/bin/sh\necho "[       OK ] $CZ_TEST_OPS"\n'
    for name, text in (("tool", SANITIZER), ("pins", "#!/bin/sh\n"), ("test_ops", tests)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    arguments = argparse.Namespace(programs=folder, device="emu", quick=False, seconds=8,
                                   sanitizer=str(folder / "tool"), out=folder)  # fmt: skip
    check = runs.Check(arguments, folder)
    check.program = lambda name: str(folder / name)
    check.emulated, check.workers = False, 2  # all ops
    check.environment.update(LOG=str(folder / "log"), SLOW=slow, FOUND=found)
    gpu_parts.run_part(check, ("sanitizer", 8, 0, sanitizer.part))
    whole = check.results.whole
    said = "\n".join(gpu_table.sanitizer_text({}, whole["parts"]["sanitizer"]))
    order = [job[0] for job in sanitizer.sanitizer_jobs(check, "tool")]
    calls = (folder / "log").read_text().splitlines()
    return whole["not_well"].get("sanitizer"), said, calls, order


def expect_turns(folder):
    """The cheapest runs come first. One that takes longer than its share takes nothing from the
    others and has another turn; where that is not enough, what was not checked is named. What was
    found in a run that is ended is found."""
    names, share = runs.op_names, runs.SHARE
    runs.op_names = lambda: ["attention", "add", "cast"]
    runs.SHARE = 0  # of eight seconds no more than the share
    try:
        text, said, calls, order = sanitizer_turns(folder / "late", "memcheck of pins 1.5")
        assert text is None and said.startswith("clean; checked: pins cast add attention\n"), said
        assert calls.count("memcheck of pins") == 2 and calls[-1] == "memcheck of pins", calls
        assert [what for tool, what in order if tool == "racecheck"] == ["pins"] + [
            "%s in %s" % (op, dtype) for op in ("cast", "add", "attention")
            for dtype in ("bf16", "f32")], order  # fmt: skip
        text, said, calls, order = sanitizer_turns(folder / "never", "racecheck of attention 60")
        missing = "racecheck of attention in bf16, racecheck of attention in f32"
        left = "checked: pins cast add; not checked: " + missing
        assert text == "incomplete: clean 14, no time 2; " + left, text
        assert said.startswith("incomplete; checked: pins cast add\nnot checked: " + missing), said
        assert "racecheck: 5 clean" in said and "passed" not in said, said
        found = "========= Invalid __global__ read of size 4 bytes"
        text, said, calls, _ = sanitizer_turns(folder / "found", "memcheck of pins 60", found)
        assert text == "clean 15, fail 1; errors in: memcheck of pins", text
        assert calls.count("memcheck of pins") == 1 and len(calls) == 16, calls
    finally:
        runs.op_names, runs.SHARE = names, share


def cudnn_part(build, folder, library):
    """What part cudnn finds on a card that is none, tests/cuda's, with cuDNN from a file; the
    results."""
    words = {"CLOZE_MODULES": str(build / "tests/cuda/fake"), "CZ_CUDNN": str(library)}
    before = dict(os.environ)
    os.environ.update(words)
    try:
        arguments = argparse.Namespace(
            programs=build, device="cuda", quick=False, sanitizer=None, seconds=600, out=folder
        )
        check = runs.Check(arguments, folder)
        gpu_parts.run_part(check, ("cudnn", 600, 0, gpu_parts.part_cudnn))
        return check.results.whole
    finally:
        os.environ.clear()
        os.environ.update(before)


def expect_cudnn(build, folder, whole):
    """The emulator has no cuDNN. Of a card it is said whether there is one that is used; that card
    has no kernels of ours to compare it with."""
    assert whole["not_well"]["cudnn"] == "emu has no kernel of attention_cudnn in bf16"
    if not (build / "tests/cuda/fake/libcudnn_fake.so").exists():
        print("skipped: no cuDNN headers, part cudnn is not tried on a card that is none")
        return
    (folder / "gone").mkdir(), (folder / "there").mkdir()
    found = cudnn_part(build, folder / "gone", "/nowhere/libcudnn.so.9")
    assert "cuDNN: there is CUDA runtime" in found["not_well"]["cudnn"], found["not_well"]
    assert found["not_well"]["cudnn"].endswith(", no cuDNN") and "cudnn" not in found["parts"]
    found = cudnn_part(build, folder / "there", build / "tests/cuda/fake/libcudnn_fake.so")
    assert "cuda does not compute in bf16" in found["not_well"]["cudnn"], found["not_well"]
    value = found["parts"]["cudnn"]
    assert {d: t["verdict"] for d, t in value["tests"].items()} == {"bf16": "pass", "f16": "pass"}
    row = {"set": "T5-base 32 x 512/114", "name": "cross", "cudnn_seconds": 1e-4, "own_seconds": 3e-4}
    assert "attention_times" not in gpu_table.table(found)
    value["card"] = "Fake H100"
    value["rows"] = [{**row, "pass": "forward"}, {**row, "pass": "backward"}]
    assert 'CZ_ATTENTION_TIMES("Fake H100", 600.0, 200.0)' in gpu_table.table(found)


def expect_identity(folder):
    """Results of another module begin anew, those of the same one are joined."""
    modules = folder / "two modules"
    modules.mkdir()

    def after(module, part):
        (modules / "libcloze_emu.so").write_bytes(module)
        results = gpu_table.Results(folder, False, True, modules)
        results.put(part, {})
        return list(results.whole["parts"])

    assert after(b"one", "copy") == ["copy"]
    assert after(b"one", "launch") == ["copy", "launch"]
    assert after(b"two", "card") == ["card"]
    assert gpu_table.digest(modules / "none") == "none"
    (folder / "emulator.json").unlink(), (folder / "emulator.txt").unlink()


def expect_gates():
    """Figures on both sides of each gate."""

    def rows(op, seconds, gb_per_s):
        return [{"set": k[0], "op": op, "name": k[1], "pass": k[2], "seconds": seconds,
                 "gb_per_s": gb_per_s, "bytes": 1e9, "gflop": 0.0, "gflop_per_s": 0.0}
                for k in gpu_table.expected(op)]  # fmt: skip

    def parts(good):
        # of label_words four rows: two are a time, one a share of the copy rate
        kernels = [*rows("norm", 1e-3, 0.81e3 if good else 0.79e3),
                   *rows("adamw", 1e-3, 0.86e3 if good else 0.84e3),
                   *rows("label_words", 9.5e-6 if good else 10.5e-6, 0.81e3 if good else 0.79e3),
                   *rows("linear", 1e-3 if good else 1.1e-3, 1.0)]  # fmt: skip
        products = [{"dtype": "bf16", "tokens": e["rows"], "in": e["width"], "out": e["outputs"],
                     "pass": p, "ms": ms, "tflop_per_s": 700.0}
                    for e in gpu_table.expected("linear").values()
                    for p, ms in (("forward", 0.99), ("dX", 0.5), ("dW", 0.49))]  # fmt: skip
        step = {"gflop_per_step": 0.26e3 * 989 if good else 0.24e3 * 989, "step_seconds": 1.0,
                "unwaited": {"host_share": 0.02 if good else 0.04}}  # fmt: skip
        return {"copy": {"device_memcpy_gb_per_s": 900.0, "device_kernel_gb_per_s": 1e3},
                "products-t5-base": products, "kernels": {"bf16": kernels},
                "steps": {"t5-base 32 x 512/114, bf16": step}}  # fmt: skip

    for good in (True, False):
        found = gpu_table.gates(parts(good))
        assert [g["verdict"] for g in found] == ["pass" if good else "MISSED"] * len(found), found
    assert {g["verdict"] for g in gpu_table.gates({})} == {"not measured"}
    expect_both_label_words(parts)
    slow = parts(True)
    scaled = [r for r in slow["kernels"]["bf16"] if r["op"] == "adamw" and "scaled" in r["name"]]
    assert len(scaled) == 1
    scaled[0]["gb_per_s"] = 1.0  # of AdamW with scaled steps no share is held
    assert {g["verdict"] for g in gpu_table.gates(slow)} == {"pass"}
    expect_incomplete(parts)


def expect_both_label_words(parts):
    """The time is of the entry whose gradient is added to, the share of the other's backward: each
    misses its own gate alone."""
    known = gpu_table.shapes()
    for added, passed, key, value, at in (
        (True, "forward", "seconds", 1e-3, 3),
        (True, "backward", "seconds", 1e-3, 3),
        (False, "backward", "gb_per_s", 1.0, 4),
        (True, "backward", "gb_per_s", 1.0, None),
        (False, "forward", "gb_per_s", 1.0, None),
        (False, "backward", "seconds", 1e-3, None),
    ):
        found = parts(True)
        rows = [r for r in found["kernels"]["bf16"] if r["op"] == "label_words" and
                r["pass"] == passed and
                bool(known[r["set"], r["op"], r["name"]].get("added")) == added]  # fmt: skip
        assert len(rows) == 1, rows
        rows[0][key] = value
        missed = [i for i, g in enumerate(gpu_table.gates(found)) if g["verdict"] == "MISSED"]
        assert missed == ([] if at is None else [at]), (added, passed, key, missed)


def expect_incomplete(parts):
    """What is passed without some of its rows is incomplete and says which; what is missed is
    missed."""
    for at, op in enumerate(("norm", "adamw", "linear", "label_words")):
        few = parts(True)
        kept = few["kernels"]["bf16"]
        large = [r for r in kept if r["op"] == op and "scaled" not in r["name"]
                 and (op != "norm" or r["set"] == gpu_table.LARGE)
                 and (op != "label_words" or "added" in r["name"])]  # fmt: skip
        if len(large) > 1:
            large[-1].pop("seconds")
            found = gpu_table.gates(few)
            assert [g["verdict"] for g in found].count("incomplete") == 1, (op, found)
            label = "%s, %s %s" % tuple(large[-1][k] for k in ("set", "name", "pass"))
            assert found[at]["verdict"] == "incomplete" and found[at]["missing"] == [label], found
            text = "\n".join(gpu_table.gates_text(found))
            assert "not measured: " + label in text, text
        bad = parts(False)
        of_op = [r for r in bad["kernels"]["bf16"] if r["op"] == op and "scaled" not in r["name"]]
        of_op[-1].pop("seconds")
        found = gpu_table.gates(bad)[at]["verdict"]
        # adamw has one row alone, and half of label_words' time is none that is missed
        verdict = {"adamw": "not measured", "label_words": "incomplete"}.get(op, "MISSED")
        assert found == verdict, (op, found)
    few = parts(True)
    few["products-t5-base"] = [p for p in few["products-t5-base"] if p["in"] != 1024]
    found = gpu_table.gates(few)[2]
    assert found["verdict"] == "incomplete" and len(found["missing"]) == 4, found


def expect_curves():
    """Curves that agree, one that goes elsewhere, one with NaN, one that was stopped."""
    reference = {"loss": [8 - i / 100 for i in range(300)], "gradient_norm": [1.0] * 300}

    def verdict(loss, beside=reference):
        mine = {"loss": loss, "gradient_norm": reference["gradient_norm"]}
        return gpu_curves.compare_long(mine, beside, 300)["verdict"]

    same = reference["loss"]
    assert verdict(same) == "pass"
    assert verdict([x * 1.005 for x in same]) == "pass"
    assert verdict(same[:100] + [x * 1.02 for x in same[100:]]) == "fail"
    assert verdict([x * (1.02 if i == 7 else 1) for i, x in enumerate(same)]) == "fail"
    assert verdict(same[:299] + [float("nan")]) == "fail"
    assert verdict(same[:150] + [float("inf")] + same[151:]) == "fail"  # in neither of the two
    assert verdict(same[:250]) == "fail"
    for short in ([], same[:20], same[:299], same[:150] + [float("nan")] + same[151:]):
        assert verdict(same, {"loss": short}) == verdict(short, {"loss": short}) == "fail"


def expect_reference():
    """The committed curve has all steps of its recipe, which are numbers and fall."""
    steps = gpu_curves.steps_of(gpu_curves.RECIPE)
    assert steps == 300
    for key, numbers in gpu_curves.committed().items():
        if key != "steps":
            assert len(numbers) == steps and all(math.isfinite(x) and x > 0 for x in numbers), key
    curve = gpu_curves.committed()
    assert curve["steps"] == steps and curve["loss"][-1] < 0.7 * curve["loss"][0]
    assert gpu_curves.compare_long(curve, curve, steps)["verdict"] == "pass"


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    expect_gates()
    expect_curves()
    expect_reference()
    expect_sanitized()
    expect_shares()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        expect_usage(build, folder)
        expect_out(build, folder)
        expect_all_sanitized(folder)
        expect_turns(folder)
        expect_identity(folder)
        whole = rehearse(build, folder)
        expect_kept_and_left_out(build, folder, whole)
        expect_cudnn(build, folder, whole)
        expect_faults(build, folder)


if __name__ == "__main__":
    main()
