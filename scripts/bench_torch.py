#!/usr/bin/env python3
"""Times a training step of T5-small's shape in PyTorch and in Cloze, interleaved on one machine:
`scripts/bench_torch.py CLOZE [--rounds N] [--peer compiled|eager|plain] [--precision f32|bf16]`.

The PyTorch model has RMS norm, bucketed position bias as the mask of
scaled_dot_product_attention, ReLU feed-forward, output tied to the embedding, AdamW(foreach),
float32, no dropout, 8 x 512/114 random tokens; torch.compile. In bf16 its forward pass runs under
autocast, with parameters and optimizer in float32, as ours are. The peer `eager` is the same
without torch.compile, `plain` also without scaled_dot_product_attention: products and a softmax.
It waits in a process of its own; each round runs one step there and one `cloze bench step` run
here, so both meet the same minutes of the machine; in bf16 one of ours in float32 too. Prints medians, the ratio of tokens per
second and of peak memory as JSON; memory is the peak of resident memory, for PyTorch without
what its compiler needed before, for Cloze of the whole program. Needs torch."""

import argparse, json, math, pathlib, statistics, subprocess, sys, time

B, S, T, D, F, H, K, L, V = 8, 512, 114, 512, 2048, 8, 64, 6, 32128


def forget_peak():
    """Starts the peak of resident memory anew, so that what the compiler needed does not count
    as the step's."""
    pathlib.Path("/proc/self/clear_refs").write_text("5")


def peak_rss():
    line = next(
        l
        for l in pathlib.Path("/proc/self/status").read_text().splitlines()
        if l.startswith("VmHWM")
    )
    return int(line.split()[1]) * 1024


def worker(peer, precision):
    import torch
    from torch import nn
    from torch.nn import functional as fn

    torch.set_num_threads(2)

    def buckets(q, k, both):
        rel = torch.arange(k)[None, :] - torch.arange(q)[:, None]
        half = 16 if both else 32
        base = (rel > 0).long() * half if both else torch.zeros_like(rel)
        n = rel.abs() if both else (-rel).clamp(min=0)
        exact = half // 2
        large = (
            exact
            + (
                torch.log(n.clamp(min=1).float() / exact) / math.log(128 / exact) * (half - exact)
            ).long()
        )
        return base + torch.where(n < exact, n, large.clamp(max=half - 1))

    class Norm(nn.Module):
        def __init__(self):
            super().__init__()
            self.g = nn.Parameter(torch.ones(D))

        def forward(self, x):
            return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.g

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.n = Norm()
            self.q, self.k, self.v, self.o = (nn.Linear(D, H * K, bias=False) for _ in range(4))

        def forward(self, x, y=None, bias=None):
            h = self.n(x)
            y = h if y is None else y
            q, k, v = (
                f(z).view(z.shape[0], z.shape[1], H, K).transpose(1, 2)
                for f, z in ((self.q, h), (self.k, y), (self.v, y))
            )
            if peer == "plain":
                scores = q @ k.transpose(-1, -2)
                a = (scores if bias is None else scores + bias).softmax(-1) @ v
            else:
                a = fn.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)
            return x + self.o(a.transpose(1, 2).reshape(x.shape[0], x.shape[1], H * K))

    class Feed(nn.Module):
        def __init__(self):
            super().__init__()
            self.n, self.i, self.o = (
                Norm(),
                nn.Linear(D, F, bias=False),
                nn.Linear(F, D, bias=False),
            )

        def forward(self, x):
            return x + self.o(fn.relu(self.i(self.n(x))))

    class T5(nn.Module):
        def __init__(self):
            super().__init__()
            self.e = nn.Embedding(V, D)
            self.eb, self.db = nn.Embedding(32, H), nn.Embedding(32, H)
            self.enc = nn.ModuleList(nn.ModuleList([Attention(), Feed()]) for _ in range(L))
            self.dec = nn.ModuleList(
                nn.ModuleList([Attention(), Attention(), Feed()]) for _ in range(L)
            )
            self.en, self.dn = Norm(), Norm()
            self.register_buffer("eq", buckets(S, S, True))
            self.register_buffer("dq", buckets(T, T, False))
            self.register_buffer("causal", torch.full((T, T), -1e9).triu(1))

        def forward(self, x, y, t):
            bias = self.eb(self.eq).permute(2, 0, 1)[None]
            h = self.e(x)
            for a, f in self.enc:
                h = f(a(h, bias=bias))
            h = self.en(h)
            bias = self.db(self.dq).permute(2, 0, 1)[None] + self.causal
            d = self.e(y)
            for a, c, f in self.dec:
                d = f(c(a(d, bias=bias), y=h))
            logits = (self.dn(d) * D**-0.5) @ self.e.weight.T
            return fn.cross_entropy(logits.view(-1, V), t.view(-1))

    torch.manual_seed(1)
    model = T5()
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() > 1:
                p.normal_(0, 0.05)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, foreach=True)
    step_model = torch.compile(model) if peer == "compiled" else model
    x, y, t = (torch.randint(3, V, shape) for shape in ((B, S), (B, T), (B, T)))

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            loss = step_model(x, y, t)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    step(), step()
    forget_peak()
    print("ready", flush=True)
    for _ in sys.stdin:
        began = time.monotonic()
        step()
        print(json.dumps({"seconds": time.monotonic() - began, "rss": peak_rss()}), flush=True)


def ours(cloze, precision):
    command = [cloze, "bench", "step", "--steps", "1", "--precision", precision, "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("cloze")
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--peer", choices=("compiled", "eager", "plain"), default="compiled")
    p.add_argument("--precision", choices=("f32", "bf16"), default="f32")
    p.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.worker:
        return worker(a.peer, a.precision)
    command = [sys.executable, __file__, a.cloze, "--worker", "--peer", a.peer]
    peer = subprocess.Popen(
        [*command, "--precision", a.precision],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    if peer.stdout.readline().strip() != "ready":
        sys.exit("the PyTorch process did not start")
    theirs, runs, float32 = [], [], []
    for _ in range(a.rounds):
        peer.stdin.write("go\n")
        peer.stdin.flush()
        theirs.append(json.loads(peer.stdout.readline()))
        runs.append(ours(a.cloze, a.precision))
        if a.precision != "f32":
            float32.append(ours(a.cloze, "f32"))
    peer.stdin.close()
    peer.wait()
    import torch

    m, tokens = statistics.median, B * (S + T)
    pairs = list(zip(runs, theirs))
    result = {
        "torch": torch.__version__,
        "peer": a.peer,
        "precision": a.precision,
        "rounds": a.rounds,
        "cpu": runs[0]["cpu"],
        "isa": runs[0]["isa"],
        "path": runs[0]["path"],
        "cloze_tokens_per_s": m(o["tokens_per_s"] for o in runs),
        "torch_tokens_per_s": m(tokens / t["seconds"] for t in theirs),
        "ratio": m(o["tokens_per_s"] * t["seconds"] / tokens for o, t in pairs),
        "share_of_measured_products": m(o["share"] for o in runs),
        "others_had_the_cores": m(o["waited"] for o in runs),
        "cloze_rss": runs[-1]["peak_rss_bytes"],
        "torch_rss": theirs[-1]["rss"],
        "rss_ratio": runs[-1]["peak_rss_bytes"] / theirs[-1]["rss"],
    }
    if float32:
        ratios = [o["tokens_per_s"] / f["tokens_per_s"] for o, f in zip(runs, float32)]
        result["ratio_to_own_float32"] = m(ratios)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
