#!/usr/bin/env python3
"""Measures every speed that Cloze promises and writes one JSON file: `scripts/bench_all.py CLOZE
[--data data/debian] [--out FILE] [--rounds N]`.

  step        `cloze bench step` at T5-small's shape: share of the products that the same run
              measures
  torch       the same step in PyTorch, compiled, eager, and of plain operations, in turns with
              ours (scripts/bench_torch.py; skipped with a note where torch is not installed)
  reader      share of the training loop's time in which it waited for its next batch, in the
              quickstart's pretraining
  first_step  wall time of a whole command of that stage that takes one step, its saving included
  tokenizer   `cloze tokenize` beside SentencePiece, one thread each (scripts/bench_tokenizer.py)
  corpus      `cloze corpus` from text to file beside SentencePiece's encoding alone, processor time

Run it on an idle machine; it takes about half an hour with PyTorch, and says the load that it
met."""

import argparse, importlib.util, json, os, pathlib, resource, shutil
import statistics, subprocess, sys, tempfile, time

HERE = pathlib.Path(__file__).resolve().parent
# What is enough of the quickstart for its stages' configurations to be there.
SHORT = [
    "stages.pretrain.train.steps=1",
    "stages.finetune.train.steps=1",
    "stages.evaluate.evaluate.max_examples=1",
]


def program(*words, **options):
    return subprocess.run(
        [str(w) for w in words], check=True, capture_output=True, text=True, **options
    ).stdout


def share_of_products(a):
    runs = [
        json.loads(
            program(a.cloze, "bench", "step", "--model", "t5-small", "--device", "cpu", "--json")
        )
        for _ in range(a.rounds)
    ]
    middle = sorted(runs, key=lambda r: r["share"])[len(runs) // 2]
    return {"median": middle, "shares": [round(r["share"], 3) for r in runs]}


def beside_torch(a):
    if importlib.util.find_spec("torch") is None:
        return {"skipped": "torch is not installed: scripts/install_deps.sh --oracles"}
    words = [sys.executable, HERE / "bench_torch.py", a.cloze, "--rounds", a.rounds, "--peer"]
    return {peer: json.loads(program(*words, peer)) for peer in ("compiled", "eager", "plain")}


def stage_of_the_quickstart(a, folder):
    """The configuration of the quickstart's pretraining under random_spans on these data, as
    `cloze run` resolves it."""
    run = pathlib.Path(folder, "quickstart")
    program(
        a.cloze,
        "run",
        HERE.parent / "experiments" / "quickstart.yaml",
        "--seeds",
        1,
        "--out",
        run,
        f"data={a.data}",
        *SHORT,
    )
    plan = json.loads((run / "plan.json").read_text())
    place = next(
        s["folder"] for s in plan if s["stage"] == "pretrain" and s["name"] == "random_spans"
    )
    return run / place.lstrip("/") / "config.yaml"


def pretrain(a, config, out, steps):
    """A pretraining stage: its measurements, and the wall time of the whole command."""
    began = time.monotonic()
    program(a.cloze, "pretrain", config, "--out", out, f"train.steps={steps}")
    wall = time.monotonic() - began
    measured = json.loads((out / "result.json").read_text())["measured"]
    shutil.rmtree(out)
    return measured, wall


def reader_and_start(a):
    with tempfile.TemporaryDirectory() as folder:
        config, out = stage_of_the_quickstart(a, folder), pathlib.Path(folder, "stage")
        measured, _ = pretrain(a, config, out, 300)
        walls = [pretrain(a, config, out, 1)[1] for _ in range(a.rounds)]
    wait, loop = measured["reader_wait_seconds"], measured["loop_seconds"]
    reader = {"wait_seconds": wait, "loop_seconds": loop, "share": wait / loop}
    return reader, {
        "seconds": round(statistics.median(walls), 3),
        "all": [round(w, 3) for w in walls],
    }


def corpus(a, library):
    text = pathlib.Path(a.data, "pretrain.txt")
    rates = []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(a.rounds):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            program(
                a.cloze,
                "corpus",
                "--tokenizer",
                f"{a.data}/tokenizer.json",
                "--out",
                f"{folder}/{i}.h5",
                text,
            )
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            rates.append(
                text.stat().st_size
                / 1e6
                / (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            )
    return {
        "mb_per_processor_second": round(statistics.median(rates), 2),
        "ratio_to_sentencepiece": round(statistics.median(rates) / library, 3),
    }


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("cloze")
    p.add_argument("--data", default="data/debian", help="folder made by scripts/prepare_debian.sh")
    p.add_argument("--out", help="file to write (default: standard output)")
    p.add_argument("--rounds", type=int, default=5)
    a = p.parse_args()
    commit = program("git", "-C", HERE, "describe", "--always", "--dirty").strip()
    result = {
        "commit": commit,
        "date": time.strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "load_at_start": os.getloadavg()[0],
    }
    result["step"] = share_of_products(a)
    result["torch"] = beside_torch(a)
    result["reader"], result["first_step"] = reader_and_start(a)
    result["tokenizer"] = json.loads(
        program(
            sys.executable,
            HERE / "bench_tokenizer.py",
            f"{a.data}/tokenizer.json",
            f"{a.data}/pretrain.txt",
            "--cloze",
            a.cloze,
        )
    )
    result["corpus"] = corpus(
        a, statistics.median(result["tokenizer"]["sentencepiece_mb_per_processor_second"])
    )
    text = json.dumps(result, indent=1) + "\n"
    if a.out:
        pathlib.Path(a.out).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(a.out).write_text(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
