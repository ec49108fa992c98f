#!/usr/bin/env python3
"""Measures every speed that Cloze promises and writes one JSON file: `scripts/bench_all.py CLOZE
[--data data/debian] [--out FILE] [--rounds N] [--before CLOZE] [--only PART...]`. Parts:

  step        `cloze bench step` at T5-small's shape: share of the products that the same run
              measures
  precision   that step in float32 and in bfloat16 in turns, with where their time goes by op; with
              --before an older build's float32 in the same turns
  torch       the same step in PyTorch, compiled, eager, and of plain operations, in turns with
              ours; torch_bf16: compiled and eager, under autocast, beside ours in bfloat16
              (scripts/bench_torch.py; skipped with a note where torch is not installed)
  start       seconds to draw T5-base's parameters, and from T5-small's command to its first step
  reader      share of the training loop's time in which it waited for its next batch, in the
              quickstart's pretraining
  first_step  wall time of a whole command of that stage that takes one step, its saving included
  tokenizer   `cloze bench tokenize` beside SentencePiece and the Hugging Face library, one thread
              each (scripts/bench_tokenizer.py)
  tokenizers  the same of --tokenizers FOLDER..., WordPiece, byte-level BPE and Unigram, on --text
  pet         PET's step and its scoring at RoBERTa-base's shape, beside PyTorch as the published
              code does it and well made, in each precision, in turns (scripts/bench_pet_opponent.py)
  members     two members of PET side by side beside one after the other, by --masked-lm
              (scripts/bench_members.py)
  corpus      `cloze corpus` from text to file beside SentencePiece's encoding alone, processor time

Run it on an idle machine; it takes about an hour with PyTorch, and says the load that it met. A
part is written as soon as it is done, beside those that FILE holds already."""

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


def step(cloze, *words):
    return json.loads(program(cloze, "bench", "step", "--json", *words))


def share_of_products(a):
    runs = [step(a.cloze) for _ in range(a.rounds)]
    middle = sorted(runs, key=lambda r: r["share"])[len(runs) // 2]
    return {"median": middle, "shares": [round(r["share"], 3) for r in runs]}


def precisions(a):
    turns = {"f32": [a.cloze], "bf16": [a.cloze, "--precision", "bf16"]}
    if a.before:
        turns["before"] = [a.before]
    runs = {name: [] for name in turns}
    for _ in range(a.rounds):
        for name, words in turns.items():
            runs[name].append(step(*words, "--steps", 2))

    def ratios(ours, theirs):
        pairs = zip(runs[ours], runs[theirs])
        return [round(x["tokens_per_s"] / y["tokens_per_s"], 3) for x, y in pairs]

    result = {"bf16_to_f32": ratios("bf16", "f32")}
    if a.before:
        result["f32_to_before"] = ratios("f32", "before")
    for name, all_of in runs.items():
        result[name] = sorted(all_of, key=lambda r: r["step_seconds"])[len(all_of) // 2]
    return result


def start(a):
    base = ["--model", "t5-base", "--segments", 1, "--inputs", 1, "--targets", 1, "--steps", 1]
    drawn = [step(a.cloze, *base)["init_seconds"] for _ in range(a.rounds)]
    begun = [step(a.cloze, "--steps", 1)["start_seconds"] for _ in range(a.rounds)]
    m = statistics.median
    return {"t5_base_init_seconds": m(drawn), "t5_small_start_seconds": m(begun)}


def beside_torch(a, precision, peers):
    if importlib.util.find_spec("torch") is None:
        return {"skipped": "torch is not installed: scripts/install_deps.sh --oracles"}
    words = [sys.executable, HERE / "bench_torch.py", a.cloze, "--rounds", a.rounds]
    words += ["--precision", precision, "--peer"]
    return {peer: json.loads(program(*words, peer)) for peer in peers}


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


def reader(a):
    with tempfile.TemporaryDirectory() as folder:
        config = stage_of_the_quickstart(a, folder)
        measured, _ = pretrain(a, config, pathlib.Path(folder, "stage"), 300)
    wait, loop = measured["reader_wait_seconds"], measured["loop_seconds"]
    return {"wait_seconds": wait, "loop_seconds": loop, "share": wait / loop}


def first_step(a):
    with tempfile.TemporaryDirectory() as folder:
        config, out = stage_of_the_quickstart(a, folder), pathlib.Path(folder, "stage")
        walls = [pretrain(a, config, out, 1)[1] for _ in range(a.rounds)]
    return {"seconds": round(statistics.median(walls), 3), "all": [round(w, 3) for w in walls]}


def tokenizer(a):
    words = [f"{a.data}/tokenizer.json", f"{a.data}/pretrain.txt", "--cloze", a.cloze]
    words += ["--bytes", "8000000", "--turns", "5"]
    script = HERE / "bench_tokenizer.py"
    return {
        "sentencepiece": json.loads(program(sys.executable, script, *words, "--sentencepiece")),
        "tokenizers": json.loads(program(sys.executable, script, *words)),
    }


def tokenizers(a):
    if importlib.util.find_spec("tokenizers") is None:
        return {"skipped": "tokenizers is not installed: scripts/install_deps.sh --oracles"}
    words = [a.text or f"{a.data}/pretrain.txt", "--cloze", a.cloze, "--turns", a.rounds]
    script = HERE / "bench_tokenizer.py"
    return {
        pathlib.Path(folder).name: json.loads(
            program(sys.executable, script, pathlib.Path(folder, "tokenizer.json"), *words)
        )
        for folder in a.tokenizers or [a.data]
    }


def pet(a):
    if importlib.util.find_spec("torch") is None:
        return {"skipped": "torch is not installed: scripts/install_deps.sh --oracles"}
    result = {}
    for what in ("step", "score"):
        for peer in ("published", "made"):
            for precision in ("f32", "bf16"):
                words = [sys.executable, HERE / "bench_pet_opponent.py", a.cloze]
                words += ["--peer", peer, "--precision", precision, "--rounds", a.rounds]
                words += ["--score"] if what == "score" else []
                result[f"{what}_{peer}_{precision}"] = json.loads(program(*words))
    return result


def members(a):
    words = [sys.executable, HERE / "bench_members.py", a.cloze, "--rounds", a.rounds]
    return json.loads(program(*words, "--data", a.data, "--model", a.masked_lm))


def corpus(a):
    beside = statistics.median(tokenizer(a)["sentencepiece"]["other_processor_mb_per_s"])
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
        "ratio_to_sentencepiece": round(statistics.median(rates) / beside, 3),
    }


PARTS = {
    "step": share_of_products,
    "precision": precisions,
    "torch": lambda a: beside_torch(a, "f32", ("compiled", "eager", "plain")),
    "torch_bf16": lambda a: beside_torch(a, "bf16", ("compiled", "eager")),
    "start": start,
    "reader": reader,
    "first_step": first_step,
    "tokenizer": tokenizer,
    "tokenizers": tokenizers,
    "pet": pet,
    "members": members,
    "corpus": corpus,
}


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("cloze")
    p.add_argument("--data", default="data/debian", help="folder made by scripts/prepare_debian.sh")
    p.add_argument("--out", help="file to write (default: standard output)")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--tokenizers", nargs="+", help="folders with a tokenizer.json each")
    p.add_argument("--text", help="UTF-8, or packed with xz (default: pretrain.txt of --data)")
    p.add_argument("--masked-lm", default="data/small_bert", help="scripts/fetch_small_bert.sh's")
    p.add_argument("--before", help="an older cloze to compare with")
    p.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    a = p.parse_args()
    out = pathlib.Path(a.out) if a.out else None
    result = json.loads(out.read_text()) if out and out.exists() else {}
    for part in a.only:
        result[part] = {
            "commit": program("git", "-C", HERE, "describe", "--always", "--dirty").strip(),
            "date": time.strftime("%Y-%m-%d"),
            "cores": os.cpu_count(),
            "load_at_start": os.getloadavg()[0],
            **PARTS[part](a),
        }
        text = json.dumps(result, indent=1) + "\n"
        if out:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(text)
    if not out:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
