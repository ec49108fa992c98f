#!/usr/bin/env python3
"""Curves of training that gpu_check.sh compares a card's with.

  gpu_curves.py make CLOZE [KEY=VALUE...]   trains tests/gpu/t5_small.yaml on the cpu in bf16 and f32
                                            and writes the committed curve; half an hour each on two
                                            cores
  gpu_curves.py keep COMMIT BF16 [F32]      the same of folders of such runs; of one that has not
                                            come to its end, the steps that it made
  gpu_curves.py compare FOLDER              a run's folder beside the committed curve

Exit code 1: the run does not agree.
"""

import json
import math
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
COMMITTED = ROOT / "experiments/results/gpu/curves/t5_small_cpu.json"
RECIPE = ROOT / "tests/gpu/t5_small.yaml"

# Of the largest relative distance of a step's loss and of a gradient's norm in twenty steps. Both
# compute in the same precision (float16 beside the cpu's float32) and draw the same masks; orders of
# sums differ, and what rounds to another number of 16 bits differs by its last bit from there on. On
# the emulated module the distances were 1e-7, 3e-4 and 9e-5 of the loss, 1e-7, 6e-3 and 4e-3 of the
# norm.
SHORT = {"f32": (1e-5, 1e-3), "bf16": (3e-3, 0.05), "fp16": (2e-3, 0.03)}
FIRST, LAST = 20, 100  # steps that are looked at one by one, and together
FAR = 1e30
# Relative distances of these. That 1 % tells a wrong kernel from other roundings is a judgement, no
# measurement: bfloat16 rounds a number by up to 0.2 %, and the committed losses change by more than
# 1 % in most of the first twenty steps. No curve in float32 says yet what rounding alone does.
NEAR, TAIL = 0.01, 0.01


def curve_of(folder):
    """{"loss": [...], "gradient_norm": [...]} of a run's folder; of one that was stopped, too."""
    out = {"loss": [], "gradient_norm": []}
    with open(pathlib.Path(folder) / "metrics.jsonl", encoding="utf-8") as f:
        for line in f:
            if not line.endswith("\n"):
                break
            record = json.loads(line)
            for key, numbers in out.items():
                value = record[key]
                numbers.append(float("nan") if value is None else value)
    return out


def committed():
    with open(COMMITTED, encoding="utf-8") as f:
        return json.load(f)["bf16"]


def steps_of(recipe):
    """How many steps a recipe of the repository's tests has."""
    text = pathlib.Path(recipe).read_text(encoding="utf-8")
    return int(re.search(r"^train: \{.*\bsteps: (\d+)", text, re.M).group(1))


def relative(a, b):
    """The distance of A from B; as far as can be where one is no number."""
    distance = abs(a - b) / max(abs(b), 1e-30)
    return distance if distance < FAR else FAR


def farthest(a, b):
    """(largest relative distance, step)."""
    pairs = [(relative(x, y), i + 1) for i, (x, y) in enumerate(zip(a, b))]
    return max(pairs, key=lambda p: (p[0], -p[1])) if pairs else (FAR, 0)


def compare_short(mine, cpu, precision):
    """A run of a few steps beside the cpu's of the same precision, both as folders."""
    a, b = curve_of(mine), curve_of(cpu)
    loss, at = farthest(a["loss"], b["loss"])
    norm, norm_at = farthest(a["gradient_norm"], b["gradient_norm"])
    limits = SHORT[precision]
    complete = len(a["loss"]) == len(b["loss"]) > 0
    well = complete and loss <= limits[0] and norm <= limits[1]
    return {
        "verdict": "pass" if well else "fail",
        "steps": len(a["loss"]),
        "loss_distance": loss,
        "at_step": at,
        "loss_limit": limits[0],
        "norm_distance": norm,
        "norm_at_step": norm_at,
        "norm_limit": limits[1],
        "loss": a["loss"],
        "cpu_loss": b["loss"],
    }


def mean(x):
    return sum(x) / len(x) if x else float("nan")


def compare_long(mine, reference, steps):
    """A curve beside the cpu's, both of so many STEPS: the first steps one by one, the last ones'
    mean."""
    a, b = mine["loss"], reference["loss"]
    n = min(len(a), len(b))
    first, at = farthest(a[:FIRST], b[:FIRST])
    last = min(LAST, n)
    tail = relative(mean(a[n - last : n]), mean(b[n - last : n]))
    whole = len(a) == len(b) == steps > 0
    numbers = all(math.isfinite(x) for x in a + b)
    text = "steps 1 to %d: %.2e apart at most, in step %d; mean of %d to %d: %.2e apart" % (
        min(FIRST, n), first, at, n - last + 1, n, tail,
    )  # fmt: skip
    if not whole:
        text += "; %d of %d steps were made, the cpu's curve has %d" % (len(a), steps, len(b))
    if not numbers:
        text += "; not all losses are numbers"
    return {
        "verdict": "pass" if whole and numbers and first <= NEAR and tail <= TAIL else "fail",
        "text": text,
        "steps": len(a),
        "first_distance": first,
        "first_limit": NEAR,
        "tail_distance": tail,
        "tail_limit": TAIL,
        "loss": a,
        "gradient_norm": mine["gradient_norm"],
    }


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def keep(commit, folders):
    """Writes the committed curve from {precision: folder}."""
    whole = {
        "what": "tests/gpu/t5_small.yaml on the cpu device",
        "commit": commit,
        "machine": "%s, %d processors" % (processor(), os.cpu_count()),
    }
    for precision, folder in folders.items():
        whole[precision] = {k: [float("%.7g" % x) for x in v] for k, v in curve_of(folder).items()}
        whole[precision]["steps"] = len(whole[precision]["loss"])
    said = ""
    if "f32" in whole:
        apart = compare_long(whole["f32"], whole["bf16"], steps_of(RECIPE))
        whole["f32_beside_bf16"] = {k: apart[k] for k in ("first_distance", "tail_distance")}
        said = ": float32 beside bfloat16: " + apart["text"]
    COMMITTED.parent.mkdir(parents=True, exist_ok=True)
    with open(COMMITTED, "w", encoding="utf-8") as f:
        text = json.dumps(whole, indent=1)
        f.write(re.sub(r"\[[^\[\]]*\]", lambda m: " ".join(m.group().split()), text) + "\n")
    print("%s%s" % (COMMITTED, said))


def make(cloze, words):
    ask = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(ask, capture_output=True, text=True).stdout.strip() or "unknown"
    env = dict(os.environ, OMP_WAIT_POLICY="passive")
    with tempfile.TemporaryDirectory() as work:
        folders = {p: os.path.join(work, p) for p in ("bf16", "f32")}
        for precision, out in folders.items():
            command = [cloze, "pretrain", str(RECIPE), "train.precision=" + precision, *words]
            subprocess.run([*command, "--out", out], check=True, env=env)
        keep(commit, folders)


def main(words):
    if not words or words[0] in ("-h", "--help"):
        print(__doc__.strip())
        return 0 if words else 2
    if words[0] == "make" and len(words) > 1:
        make(words[1], words[2:])
    elif words[0] == "keep" and len(words) in (3, 4):
        keep(words[1], dict(zip(("bf16", "f32"), words[2:])))
    elif words[0] == "compare" and len(words) == 2:
        found = compare_long(curve_of(words[1]), committed(), steps_of(RECIPE))
        print("%s: %s" % (found["verdict"], found["text"]))
        return 0 if found["verdict"] == "pass" else 1
    else:
        print("gpu_curves.py: wrong words; --help", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
