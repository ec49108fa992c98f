#!/usr/bin/env python3
"""Compares `cloze trace` with Hugging Face on a saved model: `scripts/check_hf.py CLOZE
MODEL_DIR` (needs torch, transformers, h5py).

MODEL_DIR is opened by transformers' from_pretrained and by `cloze trace --device ref`; logits,
loss and every gradient must agree to 1e-9 of the largest value. Exit status 1 when they do not,
77 when a package is missing."""

import json, subprocess, sys, tempfile

if {"-h", "--help"} & set(sys.argv[1:]):  # before packages that may be missing
    sys.exit(print(__doc__))

try:
    import h5py, torch, transformers
    import hf_float64  # noqa: F401: patches transformers
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

cloze, folder = sys.argv[1:3]
model = (
    transformers.T5ForConditionalGeneration.from_pretrained(folder, attn_implementation="eager")
    .double()
    .eval()
)
torch.manual_seed(1)
V = model.config.vocab_size
batch = [
    {
        "input_ids": torch.randint(3, V, (n,)).tolist(),
        "target_ids": torch.randint(3, V, (m,)).tolist(),
    }
    for n, m in ((19, 7), (1, 1), (40, 23))
]
total, counted, logits = 0.0, 0, []
for line in batch:
    r = model(
        input_ids=torch.tensor([line["input_ids"]]), labels=torch.tensor([line["target_ids"]])
    )
    total, counted = total + r.loss * len(line["target_ids"]), counted + len(line["target_ids"])
    logits.append(r.logits[0].detach())
(total / counted).backward()
worst = 0.0


def compare(name, got, want):
    global worst
    error = float((torch.from_numpy(got) - want).abs().max() / max(1e-3, float(want.abs().max())))
    worst = max(worst, error)
    if not error < 1e-9:
        sys.exit(f"{name}: differs by {error:.2e} of its largest value")


with tempfile.TemporaryDirectory() as d:
    open(f"{d}/batch.jsonl", "w").write("".join(json.dumps(x) + "\n" for x in batch))
    subprocess.run(
        [
            cloze,
            "trace",
            folder,
            "--batch",
            f"{d}/batch.jsonl",
            "--out",
            f"{d}/out.h5",
            "--device",
            "ref",
        ],
        check=True,
    )
    with h5py.File(f"{d}/out.h5") as f:
        compare("loss", f["loss"][()], (total / counted).detach().reshape(1))
        for i, x in enumerate(logits):
            compare(f"logits/{i}", f[f"logits/{i}"][()], x)
        names = dict(model.named_parameters())
        for name, p in names.items():
            compare(name, f["grad"][name][()], p.grad)
        extra = set(f["grad"]) - set(names)
        if extra:
            sys.exit(f"gradients of no parameter there: {sorted(extra)}")
print(f"agree: loss, {len(logits)} logits, {len(names)} gradients; worst {worst:.1e}")
