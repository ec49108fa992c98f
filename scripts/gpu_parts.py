#!/usr/bin/env python3
"""The parts of gpu_check.sh, which calls this with what it has unpacked: measures and checks a CUDA
card part by part, within a time that is given, and writes the results after each part.

  gpu_parts.py --programs FOLDER --out FOLDER [--device D] [--quick] [--seconds N]
      [--sanitizer PROGRAM] [--check] [PART...]

--check looks at these words alone and runs nothing. FOLDER of the programs is a bundle's or a build
folder. With --device emu every part runs with tiny sizes on the emulated module, and what only a
card can say is made up: a rehearsal, whose results mean nothing. Exit code: 0 all parts were done, 1
some failed or were left out, 2 wrong usage.
"""

import argparse
import json
import lzma
import math
import os
import pathlib
import re
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import gpu_curves  # noqa: E402
import gpu_table  # noqa: E402
from gpu_check import sanitizer  # noqa: E402
from gpu_check.runs import (  # noqa: E402
    BY_CUDNN,
    LEAST,
    ROOT,
    Check,
    Failed,
    by_length,
    op_environment,
    reason,
    run_limited,
    some_ops,
)

DTYPES = ("bf16", "f32", "f16")
PRECISION = {"bf16": "bf16", "f32": "f32", "f16": "fp16"}
REHEARSAL = 6  # times as long a part may take without a card


class Unusable(Exception):
    """What is wrong with the words of a call."""


# ---- ceilings and opponents ----


def probe(check, part, *words):
    if check.emulated:
        return gpu_table.MADE_UP[part]
    code, out, said = check.run([check.program("probe"), *words])
    if code != 0:
        raise Failed(reason(code, said))
    return json.loads(out)


def probe_part(part):
    def run(check):
        words = ["products", part.split("-", 1)[1]] if part.startswith("products-") else [part]
        if check.quick and len(words) > 1:
            words.append("--quick")
        check.note(part, probe(check, part, *words))

    return run


PLAIN = ("sdpa", "t5_step", "norms", "adamw", "cross_entropy", "pet_step")
COMPILED = ("t5_step", "norms", "cross_entropy", "flex", "pet_step")


def opponents(check, parts, *options):
    """Each opponent is a part of its own, and what is compiled joins what is not."""
    if check.emulated:
        for part in parts:
            check.note(part, gpu_table.MADE_UP.get(part, {}))
        return
    words = [sys.executable, ROOT / "scripts/gpu_opponents.py", *options, *parts]
    if check.quick:
        words.append("--quick")
    # NVIDIA's libraries are PyTorch's own there, and ours are not for it
    code, out, said = run_limited(words, check.left(), dict(os.environ))
    done = []
    for line in out.splitlines():
        if line.startswith("{"):
            found = json.loads(line)
            done.append(found["part"])
            with check.lock:
                check.results.join(found["part"], found["result"])
    if code != 0 or len(done) < len(parts):
        left = [p for p in parts if p not in done]
        raise Failed("not done: %s. %s" % (" ".join(left), reason(code, said)))


def part_opponents(check):
    opponents(check, PLAIN[: 2 if check.quick else None])


def part_compiled(check):
    opponents(check, COMPILED, "--compiled")


# ---- instructions ----


def part_pins(check):
    model = check.program("pins_emu")
    path = check.work / "pins"
    code, _, said = check.run([model if check.emulated else check.program("pins"), "run", path])
    if code != 0:
        raise Failed(reason(code, said))
    name = gpu_table.file_name(check.results.who["card"]) + ".pins.xz"
    (check.out / name).write_bytes(lzma.compress(path.read_bytes(), preset=9))
    code, out, said = check.run([model, "compare", path])
    if code not in (0, 1):
        raise Failed(reason(code, said))
    check.note("pins", json.loads(out))
    if code == 1:
        raise Failed("instructions differ from their models")


# ---- ops ----


def verdict_of(op, code, out, said):
    """What one run of test_ops found of OP on the device."""
    text = out + said
    if re.search(r"has \d+ of \d+ ops; not .*\b%s\b" % op, text):
        return {"verdict": "no kernel"}
    if re.search(r"^\[\s+OK \] %s$" % op, text, re.M):
        found = {"verdict": "pass"}
        worst = re.search(r"worst error ([\d.]+) of its limit \((.*?)\)", text)
        if worst:
            found.update(worst=float(worst.group(1)), where=worst.group(2))
        return found
    verdict = "no time" if code is None else "fail"
    return {"verdict": verdict, "text": reason(code, text)}


def count_verdicts(found):
    totals = {}
    for runs in found.values():
        for one in runs.values():
            totals[one["verdict"]] = totals.get(one["verdict"], 0) + 1
    return totals


def part_ops(check):
    """Every op in every dtype; a dtype of all ops before the next one."""
    found = {}

    def done(name, code, out, said, seconds):
        op, dtype = name
        one = {**verdict_of(op, code, out, said), "seconds": round(seconds, 2)}
        found.setdefault(op, {})[dtype] = one
        check.results.put("ops", {"ops": found, "verdicts": count_verdicts(found)})

    cases = 2 if check.quick else 16
    jobs = [((op, dtype), [check.program("test_ops")], op_environment(check, op, dtype, cases))
            for dtype in DTYPES for op in some_ops(check)]  # fmt: skip
    check.pool(jobs, lambda: 60, done)
    totals = count_verdicts(found)
    if set(totals) != {"pass"}:
        raise Failed(", ".join("%s %d" % pair for pair in sorted(totals.items())))


# ---- curves ----


def data_folder(check):
    """A vocabulary and a corpus of the sample in the repository."""
    folder, sample = check.work / "data", ROOT / "experiments/quickstart/sample"
    if not (folder / "pretrain.h5").exists():
        folder.mkdir(exist_ok=True)
        words = [check.program("cloze"), "corpus", "--tokenizer", sample / "tokenizer.json",
                 "--out", folder / "pretrain.h5", sample / "pretrain.txt"]  # fmt: skip
        code, out, said = check.run(words)
        if code != 0:
            raise Failed(reason(code, said, out))
    return ["tokenizer=%s" % (sample / "tokenizer.json"), "corpus=%s" % (folder / "pretrain.h5")]


TINY = ["model.d_model=32", "model.d_kv=16", "model.num_heads=2", "model.d_ff=48",
        "model.num_layers=1", "batch.input_tokens=128", "batch.target_tokens=96",
        "objective.inputs_length=32", "train.steps=2"]  # fmt: skip


def training(check, recipe, precision, device, out, words):
    command = [check.program("cloze"), "pretrain", ROOT / "tests/gpu" / recipe,
               "train.precision=" + precision, *data_folder(check), *words]  # fmt: skip
    if check.emulated:
        command += TINY
    return [*command, "--device", device, "--out", out]


# (name, model, objective)
STACKS = (("tiny T5", "t5-nano", "random_spans"), ("single stack", "lm-nano", "lm"))


def stack_jobs(check):
    """{(stack, device, precision): (command, folder)}; the cpu has no float16."""
    out = {}
    for name, model, objective in STACKS:
        words = ["model.name=" + model, "objective.name=" + objective]
        if objective == "lm":
            words.append("batch.target_tokens=512")
        for precision in ("bf16",) if check.quick else ("bf16", "f32", "fp16"):
            for device in (check.device, "cpu"):
                if (device, precision) != ("cpu", "fp16"):
                    folder = check.work / ("%s-%s-%s" % (model, device.replace(":", "-"), precision))
                    command = training(check, "tiny.yaml", precision, device, folder, words)
                    out[name, device, precision] = command, folder
    return out


def part_curves(check):
    """The same steps on the device and on the cpu; float16 beside the cpu's float32."""
    jobs, runs, found = stack_jobs(check), {}, {}

    def done(name, code, out, said, seconds):
        runs[name] = (code, out, said)

    threads = {"OMP_NUM_THREADS": "2"}
    check.pool([(name, job[0], threads) for name, job in jobs.items()], lambda: 60, done)
    for name, device, precision in jobs:
        if device == "cpu":
            continue
        label = "%s, %s" % (name, precision)
        other = name, "cpu", "f32" if precision == "fp16" else precision
        for key in (name, device, precision), other:
            code, out, said = runs[key]
            if code != 0:
                found[label] = {"verdict": "fail", "text": key[1] + ": " + reason(code, said, out)}
        if label not in found:
            folders = jobs[name, device, precision][1], jobs[other][1]
            found[label] = gpu_curves.compare_short(*folders, precision)
    check.note("curves", found)
    failed = [label for label, one in found.items() if one["verdict"] != "pass"]
    if failed:
        raise Failed("not as on the cpu: " + "; ".join(failed))


def part_t5_small(check):
    """300 steps in bf16 beside the committed curve of the cpu."""
    out, words = check.work / "t5_small", []
    if check.emulated:
        words, reference = ["model.name=t5-nano", "model.vocab_size=4224"], None
        cpu = check.work / "t5_small_cpu"
        code, _, said = check.run(training(check, "t5_small.yaml", "bf16", "cpu", cpu, words))
        if code != 0:
            raise Failed(reason(code, said))
        reference = gpu_curves.curve_of(cpu)
    else:
        reference = gpu_curves.committed()
    began = time.monotonic()
    command = training(check, "t5_small.yaml", "bf16", check.device, out, words)
    code, text, said = check.run(command)
    # of a run that did not get to its end the steps that it made are compared
    steps = gpu_curves.curve_of(out) if (out / "metrics.jsonl").exists() else None
    if not steps or not steps["loss"]:
        raise Failed(reason(code, said, text))
    n = 2 if check.emulated else gpu_curves.steps_of(gpu_curves.RECIPE)  # TINY's
    found = gpu_curves.compare_long(steps, reference, n)
    check.note("t5-small", {**found, "run_seconds": round(time.monotonic() - began, 1)})
    if code != 0:
        raise Failed(reason(code, said, text))
    if found["verdict"] != "pass":
        raise Failed(found["text"])


# ---- speed ----


def shapes_of(path):
    return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))


# what --quick times
WORTH = ("attention", "linear", "norm", "adamw", "label_words", "cross_entropy")


def kernel_rows(check, shapes, dtype, repeats):
    """The rows of one dtype; every op is a program run of its own, so that none is lost with a
    later one."""
    ops = list(dict.fromkeys(e["op"] for list_of in shapes_of(shapes).values() for e in list_of))
    if check.quick:
        ops = [op for op in ops if op in WORTH]
    failed = []
    for op in by_length(ops):
        try:
            found = check.cloze_json("bench", "kernels", "--device", check.device, "--dtype",
                                     PRECISION[dtype], "--op", op, "--shapes", shapes,
                                     "--repeats", str(repeats), seconds=60)  # fmt: skip
            check.results.extend("kernels", dtype, found["kernels"])
        except Failed as error:
            failed.append("%s in %s: %s" % (op, dtype, error))
            check.results.extend("kernels", dtype, [{"op": op, "refused": str(error)}])
    return failed


def part_kernels(check):
    check.note("kernels", {})
    failed = []
    if check.emulated:
        failed = kernel_rows(check, "tests/gpu/tiny_shapes.json", "bf16", 1)
    else:
        failed = kernel_rows(check, "experiments/bench/gpu.json", "bf16", 5)
        for dtype in () if check.quick else ("f16", "f32"):
            failed += kernel_rows(check, "experiments/bench/kernels.json", dtype, 3)
    if failed:
        raise Failed("; ".join(failed))


# the same attentions without dropout by our own kernels and by cuDNN
CUDNN_SHAPES = "experiments/bench/cudnn.json"


def cudnn_rows(check, op):
    """Seconds of each pass, {(set, name, pass): seconds}."""
    found = check.cloze_json("bench", "kernels", "--device", check.device, "--dtype", "bf16",
                             "--op", op, "--shapes", CUDNN_SHAPES)  # fmt: skip
    return {(r["set"], r["name"], r["pass"]): r["seconds"] for r in found["kernels"]}


def cudnn_tests(check):
    """The op's tests in both dtypes, {dtype: verdict}."""
    found = {}

    def done(dtype, code, out, said, seconds):
        found[dtype] = {**verdict_of(BY_CUDNN, code, out, said), "seconds": round(seconds, 2)}

    jobs = [(dtype, [check.program("test_ops")], op_environment(check, BY_CUDNN, dtype, 2))
            for dtype in ("bf16", "f16")]  # fmt: skip
    check.pool(jobs, lambda: 60, done)
    return found


def part_cudnn(check):
    """Attention by cuDNN: the op's tests, and its times beside those of our own kernels at the same
    sizes. Where there is no cuDNN, or one that is not used, that is said."""
    if not check.emulated:
        libraries = check.cloze_json("devices")["cuda"].get("libraries", "")
        if "no cuDNN" in libraries or "which is not used" in libraries:
            raise Failed("attention by cuDNN: there is %s" % libraries)
    found = {"card": check.results.who["card"], "tests": cudnn_tests(check), "rows": []}
    check.note("cudnn", found)
    for dtype, one in found["tests"].items():
        if one["verdict"] == "no kernel":
            raise Failed("%s has no kernel of %s in %s" % (check.device, BY_CUDNN, dtype))
        if one["verdict"] != "pass":
            raise Failed("%s in %s: %s" % (BY_CUDNN, dtype, one.get("text", one["verdict"])))
    theirs, own = (cudnn_rows(check, op) for op in (BY_CUDNN, "attention"))
    found["rows"] = [{"set": k[0], "name": k[1], "pass": k[2], "cudnn_seconds": s,
                      "own_seconds": own[k]} for k, s in theirs.items()]  # fmt: skip
    check.note("cudnn", found)


# (model, segments, inputs, targets, steps, precision, also in --quick)
STEPS = (
    ("t5-base", 32, 512, 114, 20, "bf16", True),
    ("t5-small", 8, 512, 114, 40, "bf16", True),
    ("t5-base", 128, 512, 114, 8, "bf16", False),
    ("t5-small", 64, 512, 114, 20, "bf16", False),
    ("t5-v1_1-base", 32, 512, 114, 10, "bf16", False),
    ("t5-small", 8, 512, 114, 20, "fp16", False),
    ("t5-small", 8, 512, 114, 20, "f32", False),
)


def part_steps(check):
    found, failed = {}, []
    steps = [("t5-nano", 1, 8, 4, 1, "bf16", True)] if check.emulated else STEPS
    for model, segments, inputs, targets, n, precision, always in steps:
        if check.quick and not always:
            continue
        label = "%s %d x %d/%d, %s" % (model, segments, inputs, targets, precision)
        try:
            found[label] = check.cloze_json(
                "bench", "step", "--model", model, "--device", check.device, "--precision",
                precision, "--segments", str(segments), "--inputs", str(inputs), "--targets",
                str(targets), "--steps", str(n), "--unwaited")  # fmt: skip
        except Failed as error:
            found[label] = {"error": str(error)}
            failed.append(label)
        check.note("steps", found)
    if failed:
        raise Failed("not measured: " + ", ".join(failed))


# ---- all of it ----

# (part, seconds at most, seconds with --quick or 0 for not then, what does it). The sum is more than
# there is: few parts take all that they may. What torch.compile makes comes last, since it can take
# all the time that is left.
PARTS = (
    ("card", 20, 15, probe_part("card")),
    ("copy", 20, 10, probe_part("copy")),
    ("launch", 20, 10, probe_part("launch")),
    ("products-t5-base", 45, 12, probe_part("products-t5-base")),
    ("products-t5-small", 25, 0, probe_part("products-t5-small")),
    ("products-roberta-large", 30, 0, probe_part("products-roberta-large")),
    ("opponents", 75, 25, part_opponents),
    ("pins", 20, 15, part_pins),
    ("ops", 80, 25, part_ops),
    ("sanitizer", 60, 0, sanitizer.part),
    ("curves", 40, 20, part_curves),
    ("t5-small", 60, 0, part_t5_small),
    ("kernels", 80, 30, part_kernels),
    ("steps", 60, 25, part_steps),
    ("cudnn", 70, 0, part_cudnn),
    ("compiled", 150, 0, part_compiled),
)


def selected(words, quick):
    """The parts that WORDS name; `products` is all of these, an opponent's name `opponents`."""
    names = [p[0] for p in PARTS]
    if not words:
        return [p for p in PARTS if not quick or p[2]]
    wanted = set()
    for word in ",".join(words).split(","):
        hits = [n for n in names if n == word or n.startswith(word + "-")]
        if word == "ceilings":
            hits = ["card", "copy", "launch"] + [n for n in names if n.startswith("products-")]
        if not hits:
            raise Unusable("no part '%s'; there are ceilings %s" % (word, " ".join(names)))
        wanted.update(hits)
    return [p for p in PARTS if p[0] in wanted]


def run_part(check, part):
    """True when all of it was done."""
    name, most, quick, run = part
    budget = (quick or most) if check.quick else most
    if check.emulated:
        budget *= REHEARSAL
    now = time.monotonic()
    check.part_ends = min(now + budget, check.ends)
    if check.left() < LEAST:
        check.results.fail(name, "left out: there was no time left")
        print("== %s left out: there was no time left" % name, flush=True)
        return False
    text = None
    try:
        run(check)
    except Failed as error:
        text = str(error)
    except Exception as error:  # a part's fault must not cost the others
        text = "%s: %s" % (type(error).__name__, error)
    check.results.took(name, time.monotonic() - now)
    check.results.fail(name, text)
    print("== %s: %.1f s%s" % (name, time.monotonic() - now,
                               "; NOT WELL: " + text[:600] if text else ""), flush=True)  # fmt: skip
    return text is None


def keep_algorithms(check):
    """The table of products' algorithms that the run has made, to be committed for this card."""
    for path in (check.work / "cache").glob("**/*.cublaslt-*.txt"):
        shutil.copy(path, check.out / path.name)


class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise Unusable(message)


def seconds(text):
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError("'%s' is no number of seconds above 0" % text)
    return value


def parse(words):
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", required=True, help="folder of a bundle or of a build")
    parser.add_argument("--out", required=True)
    parser.add_argument("--device", default="cuda", choices=("cuda", "emu", "emu:check"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seconds", type=seconds, default=None, help="for all parts together")
    parser.add_argument("--sanitizer", help="compute-sanitizer, where it is not on the path")
    parser.add_argument("--check", action="store_true", help="look at these words alone")
    parser.add_argument("part", nargs="*", metavar="PART")
    return parser.parse_args(words)


def nearest(out):
    """The folder of OUT that is there; Unusable where that cannot be told."""
    above = pathlib.Path(out).absolute()
    while True:
        try:
            above.stat()
            return above
        except (FileNotFoundError, NotADirectoryError):
            above = above.parent
        except OSError as error:  # below what may not be entered, a name that is too long
            raise Unusable("--out %s: %s: %s" % (out, above, error.strerror))


def usable(arguments):
    """The parts to run. Unusable where that is known to fail before anything is run."""
    parts = selected(arguments.part, arguments.quick)
    if arguments.sanitizer and not shutil.which(arguments.sanitizer):
        raise Unusable("--sanitizer %s is no program" % arguments.sanitizer)
    above = nearest(arguments.out)
    if not (above.is_dir() and os.access(above, os.W_OK | os.X_OK)):
        raise Unusable("--out %s: no file can be written in %s" % (arguments.out, above))
    return parts


def main():
    try:
        arguments = parse(sys.argv[1:])
        parts = usable(arguments)
    except Unusable as error:
        print("gpu_parts.py: %s" % error, file=sys.stderr)
        return 2
    if arguments.check:
        return 0
    if arguments.seconds is None:
        arguments.seconds = 120 if arguments.quick else 540
        if arguments.device != "cuda":
            arguments.seconds *= REHEARSAL
    os.makedirs(arguments.out, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="cloze-gpu-") as work:
        check = Check(arguments, pathlib.Path(work))
        well = [run_part(check, part) for part in parts]
        keep_algorithms(check)
        print(check.results.table(), flush=True)
    return 0 if all(well) else 1


if __name__ == "__main__":
    sys.exit(main())
