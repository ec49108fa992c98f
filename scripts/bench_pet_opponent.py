#!/usr/bin/env python3
"""Times PET's step on RoBERTa-base's shape in PyTorch and in Cloze, interleaved on one machine:
`scripts/bench_pet_opponent.py CLOZE [--peer made|published] [--precision f32|bf16] [--score]
[--rounds N] [--model roberta-base|roberta-nano]`, the small one to try it out.

Both have the 16 texts of `cloze bench step --task pet`, 865 tokens in all, five label words,
dropout 0.1, AdamW with weight decay and a clipped gradient, random weights. The peer `published`
does what PET's code does: each text padded to 256 tokens, micro-batches of 2 to train and of 8 to
score, logits of the whole vocabulary at every position, attention as products and a softmax, an
optimizer that goes from parameter to parameter; always in float32. The peer `made` pads to the
longest text of a batch, scores five words at the mask alone, and has
scaled_dot_product_attention, torch.compile and a fused AdamW; in bf16 its forward pass runs under
autocast. With --score 512 texts are scored in place of the step, by `made` sorted by length, 32
at once; `published` scores 16 of them, since each costs the same there, and texts per second are
compared.

The peer waits in a process of its own; each round runs one step there and one `cloze bench step`
run here, so both meet the same minutes of the machine. Prints medians, the ratio of the rates,
that of peak memory (PyTorch's without what its compiler needed before) and the load that it met,
as JSON. Needs torch and transformers."""

import argparse, json, os, statistics, subprocess, sys, time

from bench_torch import forget_peak, peak_rss

# As `cloze bench --help` lists them.
LENGTHS = [20, 25, 29, 34, 38, 43, 47, 52, 56, 61, 65, 70, 74, 79, 84, 88]
VOCABULARY, PAD, PADDED, SCORED = 50265, 1, 256, 512
# RobertaConfig's defaults are those of base.
SIZES = {
    "roberta-base": {},
    "roberta-nano": {
        "num_hidden_layers": 2,
        "hidden_size": 64,
        "intermediate_size": 256,
        "num_attention_heads": 2,
    },
}


class Peer:
    """RoBERTa-base with random weights, and texts of LENGTHS with a mask's place and a label."""

    def __init__(self, a):
        import torch
        from transformers import RobertaConfig, RobertaForMaskedLM

        torch.set_num_threads(2)
        torch.manual_seed(1)
        self.a, self.torch, self.published = a, torch, a.peer == "published"
        config = RobertaConfig(
            vocab_size=VOCABULARY,
            max_position_embeddings=514,
            type_vocab_size=1,
            **SIZES[a.model],
        )
        config._attn_implementation = "eager" if self.published else "sdpa"
        self.model = RobertaForMaskedLM(config)
        self.words = torch.tensor([1000, 2000, 3000, 4000, 5000])
        count = SCORED if a.score and not self.published else len(LENGTHS)
        self.texts = [LENGTHS[i % len(LENGTHS)] for i in range(count)]
        self.places = [i * n // count for i, n in enumerate(self.texts)]
        self.labels = torch.tensor([i % 5 for i in range(count)])
        self.run = self.scores if self.published else torch.compile(self.scores, dynamic=a.score)
        if a.score:
            self.model.eval()
        else:
            how = {"foreach": False} if self.published else {"fused": True}
            self.optimizer = torch.optim.AdamW(
                self.model.parameters(), lr=1e-4, eps=1e-8, weight_decay=0.01, **how
            )

    def batch(self, numbers):
        """Padded ids, which of them count, and the masks' places, of some texts."""
        torch = self.torch
        width = PADDED if self.published else max(self.texts[i] for i in numbers)
        ids = torch.full((len(numbers), width), PAD)
        for row, i in enumerate(numbers):
            ids[row, : self.texts[i]] = torch.randint(3, VOCABULARY, (self.texts[i],))
        return ids, (ids != PAD).long(), torch.tensor([self.places[i] for i in numbers])

    def scores(self, ids, counted, places):
        m, rows = self.model, self.torch.arange(ids.shape[0])
        if self.published:
            return m(input_ids=ids, attention_mask=counted).logits[rows, places][:, self.words]
        h = m.roberta(input_ids=ids, attention_mask=counted).last_hidden_state[rows, places]
        h = m.lm_head.layer_norm(self.torch.nn.functional.gelu(m.lm_head.dense(h)))
        return h @ m.lm_head.decoder.weight[self.words].T + m.lm_head.bias[self.words]

    def parts(self):
        order = sorted(range(len(self.texts)), key=lambda i: -self.texts[i])
        size = (8 if self.a.score else 2) if self.published else (32 if self.a.score else 16)
        return [order[i : i + size] for i in range(0, len(order), size)]

    def forward(self, numbers):
        half = self.a.precision == "bf16"
        with self.torch.autocast("cpu", dtype=self.torch.bfloat16, enabled=half):
            return self.run(*self.batch(numbers))

    def step(self):
        torch = self.torch
        self.optimizer.zero_grad(set_to_none=True)
        for numbers in self.parts():
            scores = self.forward(numbers).float()
            loss = torch.nn.functional.cross_entropy(
                scores, self.labels[numbers], reduction="sum"
            ) / len(self.texts)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return float(loss.detach())

    def score(self):
        with self.torch.no_grad():
            return [self.forward(numbers).argmax(-1).tolist() for numbers in self.parts()]


def worker(a):
    peer = Peer(a)
    work = peer.score if a.score else peer.step
    work()
    if not peer.published:
        work()  # dynamic shapes compile at the second size
    forget_peak()
    print("ready", flush=True)
    for _ in sys.stdin:
        began = time.monotonic()
        work()
        seconds = time.monotonic() - began
        out = {"seconds": seconds, "texts": len(peer.texts), "rss": peak_rss()}
        print(json.dumps(out), flush=True)


def ours(a):
    command = [a.cloze, "bench", "step", "--task", "pet", "--model", a.model, "--json"]
    command += ["--dtype", a.precision, "--steps", "1", *(["--score"] if a.score else [])]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def report(a, runs, theirs, load):
    import torch

    m = statistics.median
    pairs = [
        (o["texts"] / o["step_seconds"]) / (t["texts"] / t["seconds"]) for o, t in zip(runs, theirs)
    ]
    return {
        "torch": torch.__version__,
        "model": a.model,
        "peer": a.peer,
        "score": a.score,
        "precision": a.precision,
        "peer_precision": "f32" if a.peer == "published" else a.precision,
        "rounds": a.rounds,
        "load_per_core": round(load / os.cpu_count(), 2),
        "cpu": runs[0]["cpu"],
        "isa": runs[0]["isa"],
        "path": runs[0]["path"],
        "cloze_seconds": m(o["step_seconds"] for o in runs),
        "torch_seconds": m(t["seconds"] for t in theirs),
        "torch_texts": theirs[0]["texts"],
        "ratio": m(pairs),
        "ratios": [round(x, 3) for x in pairs],
        "share_of_measured_products": m(o["share"] for o in runs),
        "others_had_the_cores": m(o["waited"] for o in runs),
        "cloze_rss": runs[-1]["peak_rss_bytes"],
        "torch_rss": theirs[-1]["rss"],
        "rss_ratio": runs[-1]["peak_rss_bytes"] / theirs[-1]["rss"],
    }


def main():
    p = argparse.ArgumentParser()
    p.add_argument("cloze")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--peer", choices=("made", "published"), default="made")
    p.add_argument("--precision", choices=("f32", "bf16"), default="f32")
    p.add_argument("--model", choices=SIZES, default="roberta-base")
    p.add_argument("--score", action="store_true")
    p.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.worker:
        if a.peer == "published":
            a.precision = "f32"
        return worker(a)
    load = os.getloadavg()[0]
    command = [sys.executable, __file__, *sys.argv[1:], "--worker"]
    peer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if peer.stdout.readline().strip() != "ready":
        sys.exit("the PyTorch process did not start")
    theirs, runs = [], []
    for _ in range(a.rounds):
        peer.stdin.write("go\n")
        peer.stdin.flush()
        theirs.append(json.loads(peer.stdout.readline()))
        runs.append(ours(a))
        wanted = sum(LENGTHS) * (SCORED // len(LENGTHS) if a.score else 1)
        if runs[-1]["tokens"] != wanted:
            sys.exit(f"{a.cloze} computed {runs[-1]['tokens']} tokens, not {wanted}")
    peer.stdin.close()
    peer.wait()
    print(json.dumps(report(a, runs, theirs, load), indent=1))


if __name__ == "__main__":
    main()
