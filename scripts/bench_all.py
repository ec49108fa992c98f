#!/usr/bin/env python3
"""Measures every speed that Cloze promises and writes one JSON file: `scripts/bench_all.py CLOZE [--data data/debian] [--out FILE] [--rounds N]`.

  step        `cloze bench step` at T5-small's shape: share of the products that the same run measures
  torch       the same step in PyTorch, compiled and not, in turns with ours (scripts/bench_torch.py; skipped with a note where torch is not installed)
  reader      share of a pretraining stage's time in which the loop waited for its next batch
  first_step  wall time of a whole pretraining command of the quickstart's model that takes one step, its saving included
  tokenizer   `cloze tokenize` beside SentencePiece, one thread each (scripts/bench_tokenizer.py)
  corpus      `cloze corpus` from text to file beside SentencePiece's encoding alone, processor time

Run it on an idle machine; it takes about half an hour with PyTorch, and says the load that it met."""
import argparse, importlib.util, json, os, pathlib, resource, shutil, statistics, subprocess, sys, tempfile, time

HERE = pathlib.Path(__file__).resolve().parent


def program(*words, **options):
    return subprocess.run([str(w) for w in words], check=True, capture_output=True, text=True, **options).stdout


def share_of_products(a):
    runs = [json.loads(program(a.cloze, "bench", "step", "--model", "t5-small", "--device", "cpu", "--json")) for _ in range(a.rounds)]
    middle = sorted(runs, key=lambda r: r["share"])[len(runs) // 2]
    return {"median": middle, "shares": [round(r["share"], 3) for r in runs]}


def beside_torch(a):
    if importlib.util.find_spec("torch") is None:
        return {"skipped": "torch is not installed: scripts/install_deps.sh --oracles"}
    lines = {}
    for name, words in (("compiled", []), ("plain", ["--no-compile"])):
        lines[name] = json.loads(program(sys.executable, HERE / "bench_torch.py", a.cloze, "--rounds", a.rounds, *words))
    return lines


def pretrain(a, folder, steps):
    """A pretraining stage of the quickstart's model: its measurements, and the wall time of the whole command."""
    config = pathlib.Path(folder, "config.yaml")
    config.write_text(
        f"tokenizer: {a.data}/tokenizer.json\nmodel: {{name: t5-nano, dropout: 0}}\nseed: 1\ncorpus: {a.data}/pretrain.h5\n"
        "objective: {name: random_spans, inputs_length: 128}\nbatch: {input_tokens: 512, target_tokens: 512}\n"
        f"optimizer: {{name: adamw_scale, learning_rate: 1e-2, warmup_steps: 1}}\ntrain: {{steps: {steps}, log_steps: 1}}\n")
    out = pathlib.Path(folder, f"run{steps}")
    began = time.monotonic()
    program(a.cloze, "pretrain", config, "--out", out)
    wall = time.monotonic() - began
    measured = json.loads((out / "result.json").read_text())["measured"]
    shutil.rmtree(out)
    return measured, wall


def reader_and_start(a):
    with tempfile.TemporaryDirectory() as folder:
        measured, _ = pretrain(a, folder, 300)
        walls = [pretrain(a, folder, 1)[1] for _ in range(a.rounds)]
    reader = {"wait_seconds": measured["reader_wait_seconds"], "seconds": measured["seconds"], "share": measured["reader_wait_seconds"] / measured["seconds"]}
    return reader, {"seconds": round(statistics.median(walls), 3), "all": [round(w, 3) for w in walls]}


def corpus(a, sentencepiece_mb_per_s):
    text = pathlib.Path(a.data, "pretrain.txt")
    rates = []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(a.rounds):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            program(a.cloze, "corpus", "--tokenizer", f"{a.data}/tokenizer.json", "--out", f"{folder}/{i}.h5", text)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            rates.append(text.stat().st_size / 1e6 / (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
    return {"mb_per_processor_second": round(statistics.median(rates), 2), "ratio_to_sentencepiece": round(statistics.median(rates) / sentencepiece_mb_per_s, 3)}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("cloze")
    p.add_argument("--data", default="data/debian", help="folder made by scripts/prepare_debian.sh")
    p.add_argument("--out", help="file to write (default: standard output)")
    p.add_argument("--rounds", type=int, default=5)
    a = p.parse_args()
    commit = program("git", "-C", HERE, "describe", "--always", "--dirty").strip()
    result = {"commit": commit, "date": time.strftime("%Y-%m-%d"), "cores": os.cpu_count(), "load_at_start": os.getloadavg()[0]}
    result["step"] = share_of_products(a)
    result["torch"] = beside_torch(a)
    result["reader"], result["first_step"] = reader_and_start(a)
    result["tokenizer"] = json.loads(program(sys.executable, HERE / "bench_tokenizer.py", f"{a.data}/tokenizer.json", f"{a.data}/pretrain.txt", "--cloze", a.cloze))
    result["corpus"] = corpus(a, statistics.median(result["tokenizer"]["sentencepiece_mb_per_s"]))
    text = json.dumps(result, indent=1) + "\n"
    if a.out:
        pathlib.Path(a.out).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(a.out).write_text(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
