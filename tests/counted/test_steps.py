#!/usr/bin/env python3
"""The steps that scripts/kernel_costs/steps.py adds up are those that the engine plans: `cloze graph`
of T5-small and T5-base has the same ops, as often, at the same sizes.

test_steps.py SCRIPTS CLOZE TOKENIZER"""

import collections
import json
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, sys.argv[1])
from kernel_costs import steps

SEGMENTS, INPUTS, TARGETS = 8, 512, 114
CONFIG = """kind: pretrain
seed: 1
tokenizer: %(tokenizer)s
corpus: corpus.h5
model: {name: %(model)s, dropout: 0.1}
objective: {name: random_spans, inputs_length: 512}
batch: {input_tokens: %(inputs)d, target_tokens: %(targets)d}
optimizer: {name: adamw, learning_rate: 1e-3}
train: {steps: 1, precision: bf16}
"""


def planned(cloze, tokenizer, model):
    """Counts of (op, pass, dimensions of what the step writes first), of the engine's plan."""
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "text"), "w", encoding="utf-8") as f:
            f.write("some words that stand here for a text\n" * 200)
        config = {"tokenizer": tokenizer, "model": model}
        config.update(inputs=SEGMENTS * INPUTS, targets=SEGMENTS * TARGETS)
        with open(os.path.join(folder, "stage.yaml"), "w", encoding="utf-8") as f:
            f.write(CONFIG % config)
        corpus = ["corpus", "--tokenizer", tokenizer, "--out", "corpus.h5", "--documents", "line"]
        for words in (corpus + ["text"], ["graph", "stage.yaml", "--json", "--device", "cpu"]):
            done = subprocess.run([cloze, *words], cwd=folder, capture_output=True, text=True)
            if done.returncode != 0:
                sys.exit("%s: %s" % (" ".join(words), done.stderr))
    graph, found = json.loads(done.stdout), collections.Counter()
    for step in graph["steps"]:
        first = re.search(r"\[(.*)\]", step["writes"][0]["shape"]).group(1).split(",")
        first = tuple(graph["extents"].get(x) or int(x) for x in first)
        found[step["op"], step["phase"], first] += 1
    vocabulary = next(
        int(re.search(r"\[(\d+),", w["shape"]).group(1))
        for s in graph["steps"]
        if s["op"] == "embedding" and s["phase"] == "backward"
        for w in s["writes"]
    )
    return found, vocabulary


def first_written(op, pass_name, n):
    """What an op writes first, as the plan lists it: of a loss, itself."""
    if op == "attention":
        return n["segments"] * n["queries"], n["heads"] * n["head_size"]
    if op == "linear" and pass_name == "forward":
        return n["rows"], n["outputs"]
    if op == "embedding" and pass_name == "backward":
        return n["vocabulary"], n["width"]
    return (1,) if op == "cross_entropy" else (n["rows"], n["width"])


def added_up(sizes):
    found = collections.Counter()
    step = steps.t5(**sizes, segments=SEGMENTS, inputs=INPUTS, targets=TARGETS)
    for times, op, pass_name, n in step:
        if op not in ("sumsq", "clip", "adamw"):
            found[op, pass_name, first_written(op, pass_name, n)] += times
    return found


def main():
    cloze, tokenizer = os.path.abspath(sys.argv[2]), os.path.abspath(sys.argv[3])
    wrong = 0
    for model, sizes in (("t5-small", steps.T5_SMALL), ("t5-base", steps.T5_BASE)):
        plan, vocabulary = planned(cloze, tokenizer, model)
        ours = added_up({**sizes, "vocabulary": vocabulary})
        for key in sorted(set(plan) | set(ours), key=str):
            if plan[key] != ours[key]:
                print("%s: %s %s %s: planned %d, ours %d" % (model, *key, plan[key], ours[key]))
                wrong += 1
        print("%s: %d steps of the plan" % (model, sum(plan.values())))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
