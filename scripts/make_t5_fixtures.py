#!/usr/bin/env python3
"""Makes tests/fixtures/t5/: tiny random T5 v1.0 and v1.1 models of Hugging Face with what they
compute on one batch, all in float64.

    python3 scripts/make_t5_fixtures.py [OUT]

Each folder holds a model directory as `save_pretrained` writes it (float64 weights), batch.jsonl
in the form that `cloze trace` reads, and expected.safetensors: loss, logits.N, and grad.NAME for
every parameter. versions.json records the libraries. Needs torch, transformers, safetensors."""

import json, pathlib, sys

if {"-h", "--help"} & set(sys.argv[1:]):  # before packages that may be missing
    sys.exit(print(__doc__))

import hf_float64  # noqa: F401: patches transformers
import safetensors.torch, torch, transformers

out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/fixtures/t5")

FAMILIES = {
    "v1_0": dict(feed_forward_proj="relu", tie_word_embeddings=True),
    "v1_1": dict(feed_forward_proj="gated-gelu", tie_word_embeddings=False),
}
BATCH = [  # one segment a line; lengths differ, one label is not counted
    {"input_ids": [5, 9, 33, 2, 7, 1], "target_ids": [8, 4, 1]},
    {"input_ids": list(range(3, 40)), "target_ids": [60, -100, 12, 13, 14, 15, 16, 17, 18, 19, 1]},
    {"input_ids": [7], "target_ids": [1]},
]


def tiny(kind):
    torch.manual_seed(20260 + len(kind))
    config = transformers.T5Config(
        vocab_size=64,
        d_model=16,
        d_kv=4,
        d_ff=24,
        num_layers=2,
        num_decoder_layers=3,
        num_heads=3,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=20,
        dropout_rate=0.0,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=1,
        **FAMILIES[kind],
    )
    config._attn_implementation = "eager"
    model = transformers.T5ForConditionalGeneration(config).double().eval()
    with (
        torch.no_grad()
    ):  # the library's initialiser makes some tensors so small that a wrong gradient could hide
        for name, p in model.named_parameters():
            p.copy_(
                torch.randn(p.shape, dtype=torch.float64) * 0.3
                + (1.0 if "layer_norm" in name else 0.0)
            )
    return model


def run(model):
    """Segment by segment, so that no padding enters; the loss is the mean over all counted
    positions of all segments."""
    total, counted, tensors = 0.0, 0, {}
    for i, line in enumerate(BATCH):
        labels = torch.tensor([line["target_ids"]])
        result = model(input_ids=torch.tensor([line["input_ids"]]), labels=labels)
        n = int((labels != -100).sum())
        total, counted = total + result.loss * n, counted + n
        tensors[f"logits.{i}"] = result.logits[0].detach().contiguous()
    loss = total / counted
    loss.backward()
    tensors["loss"] = loss.detach().reshape(1)
    for name, p in model.named_parameters():
        tensors[f"grad.{name}"] = p.grad.contiguous()
    return tensors


for kind in FAMILIES:
    folder = out / kind
    folder.mkdir(parents=True, exist_ok=True)
    model = tiny(kind)
    model.save_pretrained(folder)
    safetensors.torch.save_file(run(model), folder / "expected.safetensors")
    (folder / "batch.jsonl").write_text("".join(json.dumps(line) + "\n" for line in BATCH))
(out / "versions.json").write_text(
    json.dumps({"torch": torch.__version__, "transformers": transformers.__version__}, indent=1)
    + "\n"
)
