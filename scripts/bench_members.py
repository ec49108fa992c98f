#!/usr/bin/env python3
"""Times two members of PET side by side on two cores against the same two one after the other on
two threads: `scripts/bench_members.py CLOZE [--model data/small_bert] [--data data/debian]
[--rounds N] [--steps N]`.

A round is `cloze classify` with two patterns, once with one process and two threads and once with
`--jobs 2`, one thread each; which comes first changes from round to round. Both must come to the
same metrics, digit for digit, or the script ends with 1. What is compared is the seconds that the
stage says it took: two trainings of --steps updates on 16 texts and the scoring of 500 texts by
each, with what a second process costs before its first step. Prints the seconds, the ratio of
each round, the median of them and the load that it met, as JSON. Wants an idle machine of two
cores, and scripts/fetch_small_bert.sh and scripts/prepare_debian.sh before."""

import argparse, json, os, pathlib, statistics, subprocess, sys, tempfile

HERE = pathlib.Path(__file__).resolve().parent
STAGE = """seed: 1
init: {model}
examples: {{pattern: {pattern}, train: {data}/pet_section.train.tsv,
           test: {data}/pet_section.test.tsv, labelled: 50, unlabelled: 250, test_examples: 250,
           max_length: 128}}
classify: {{strategy: pet, repetitions: 1, patterns: "0,1", held_out: 0}}
batch: {{examples: 16}}
optimizer: {{name: adamw, learning_rate: 1e-4, schedule: transformers_linear, weight_decay: 0.01,
            epsilon: 1e-8, clip_norm: 1}}
train: {{steps: {steps}, z_loss: 0}}
"""


def run(a, config, out, jobs):
    """The stage's result with so many processes on two cores."""
    threads = str(2 // jobs)
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "passive"}
    words = [a.cloze, "classify", config, "--out", out, "--jobs", jobs]
    subprocess.run([str(w) for w in words], check=True, capture_output=True, env=environment)
    return json.loads((out / "result.json").read_text())


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("cloze")
    p.add_argument("--model", default="data/small_bert", help="folder of a masked LM")
    p.add_argument("--data", default="data/debian", help="folder made by scripts/prepare_debian.sh")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--steps", type=int, default=120)
    a = p.parse_args()
    load = os.getloadavg()[0]
    pattern = HERE.parent / "experiments" / "pet" / "patterns" / "debian_sections.yaml"
    seconds = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder, "stage.yaml")
        config.write_text(
            STAGE.format(
                model=pathlib.Path(a.model).resolve(),
                data=pathlib.Path(a.data).resolve(),
                pattern=pattern,
                steps=a.steps,
            )
        )
        for i in range(a.rounds):
            results = {}
            for jobs in (1, 2) if i % 2 == 0 else (2, 1):
                out = pathlib.Path(folder, f"{i}-{jobs}")
                results[jobs] = run(a, config, out, jobs)
                seconds[jobs].append(round(results[jobs]["measured"]["seconds"], 3))
            if results[1]["metrics"] != results[2]["metrics"]:
                sys.exit("one process and two did not come to the same metrics")
    ratios = [round(x / y, 3) for x, y in zip(seconds[1], seconds[2])]
    result = {
        "one_after_the_other_seconds": seconds[1],
        "side_by_side_seconds": seconds[2],
        "ratios": ratios,
        "ratio": statistics.median(ratios),
        "cores": os.cpu_count(),
        "load_at_start": load,
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
