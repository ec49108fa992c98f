#!/usr/bin/env python3
"""Makes tests/fixtures/families/: tiny random models of Hugging Face's BERT, RoBERTa, XLM-R,
DistilBERT, GPT-2 and ALBERT, each with one head, and what they compute on one batch.

    python3 scripts/make_family_fixtures.py [OUT] [--seed N]

A folder holds a model directory as `save_pretrained` writes it, batch.jsonl in the form that
`cloze trace` reads, and expected.safetensors: loss, logits.N, and grad.NAME for every parameter.
Weights are stored in float32; what is expected of them is computed in float64. Each text goes
through the model alone, so that no padding enters; the loss is the mean over all counted
positions of all texts (of classification: over the texts), and gradients are its. Biases and
norms are random as everything else, dropout is 0.

Folders that end in _pad have the padding id inside a text. OUT/variants/ holds bert_mlm's or
gpt2_lm's values under the names, in the types and files in which old or other programs write
them; like.json says which folder has what is expected of them.

Another seed than the default makes other sizes, weights and texts, of which none is committed.
versions.json records seed and libraries. Needs torch, transformers, safetensors."""

import argparse, json, pathlib, random, shutil, zlib

arguments = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
arguments.add_argument("out", nargs="?", default="tests/fixtures/families", metavar="OUT")
arguments.add_argument("--seed", type=int, default=11)
arguments = arguments.parse_args()  # before packages that may be missing

import hf_float64  # noqa: F401: patches transformers
import safetensors.torch, torch, transformers

out = pathlib.Path(arguments.out)
WHOLE_BYTES = 1_500_000  # of what is committed

# Folder: class, facts that the folder is there for. Other sizes are drawn.
MODELS = {
    "bert_mlm": (
        "BertForMaskedLM",
        dict(hidden_act="gelu", hidden_size=10, num_attention_heads=2),  # variants copy it
    ),
    "bert_mlm_relu": ("BertForMaskedLM", dict(hidden_act="relu", type_vocab_size=1)),
    "bert_nsp": ("BertForNextSentencePrediction", dict(hidden_act="gelu_new")),
    "bert_class": ("BertForSequenceClassification", dict(hidden_act="gelu", num_labels=3)),
    "bert_pad": ("BertForMaskedLM", dict(hidden_act="gelu", num_hidden_layers=1)),
    "roberta_mlm": ("RobertaForMaskedLM", dict(hidden_act="relu", type_vocab_size=1)),
    "roberta_class": ("RobertaForSequenceClassification", dict(hidden_act="gelu", num_labels=2)),
    "roberta_pad": ("RobertaForMaskedLM", dict(hidden_act="gelu", num_hidden_layers=1)),
    "xlmr_mlm": ("XLMRobertaForMaskedLM", dict(hidden_act="gelu", type_vocab_size=1)),
    "xlmr_class": ("XLMRobertaForSequenceClassification", dict(hidden_act="gelu", num_labels=5)),
    "distilbert_mlm": ("DistilBertForMaskedLM", dict(activation="gelu", n_layers=3)),
    "distilbert_class": (
        "DistilBertForSequenceClassification",
        dict(activation="relu", num_labels=3),
    ),
    "gpt2_lm": ("GPT2LMHeadModel", dict(activation_function="gelu_new", n_inner=None)),
    "gpt2_lm_by_layer": (
        "GPT2LMHeadModel",
        dict(activation_function="relu", scale_attn_by_inverse_layer_idx=True, n_layer=3),
    ),
    "gpt2_class": (
        "GPT2ForSequenceClassification",
        dict(activation_function="gelu", num_labels=3, pad_token_id=0),
    ),
    "albert_mlm": (
        "AlbertForMaskedLM",
        dict(hidden_act="gelu_new", num_hidden_layers=5, num_hidden_groups=2, inner_group_num=2),
    ),
    "albert_mlm_one": (
        "AlbertForMaskedLM",
        dict(hidden_act="relu", num_hidden_layers=3, num_hidden_groups=1, type_vocab_size=1),
    ),
    "albert_class": (
        "AlbertForSequenceClassification",
        dict(hidden_act="gelu", num_hidden_layers=3, num_hidden_groups=3, num_labels=4),
    ),
}

# For every family: the names of its sizes.
KEYS = {
    "distilbert": dict(D="dim", F="hidden_dim", L="n_layers", H="n_heads"),
    "gpt2": dict(D="n_embd", F="n_inner", L="n_layer", H="n_head", P="n_positions"),
}
COMMON = dict(
    D="hidden_size",
    F="intermediate_size",
    L="num_hidden_layers",
    H="num_attention_heads",
    P="max_position_embeddings",
)
NO_DROPOUT = {
    "distilbert": ["dropout", "attention_dropout", "seq_classif_dropout"],
    "gpt2": ["resid_pdrop", "embd_pdrop", "attn_pdrop"],
    "albert": ["hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout_prob"],
}


def config_of(folder, draw):
    """A random configuration: heads of odd sizes, few layers, an eps that shows."""
    name, facts = MODELS[folder]
    cls = getattr(transformers, name)
    kind = cls.config_class.model_type
    names = COMMON | KEYS.get(kind, {})
    heads, size = draw.choice([(2, 5), (3, 5), (2, 7), (1, 11), (4, 3)])
    pad = 1 if "roberta" in kind else 0
    values = {
        "vocab_size": draw.randint(51, 67),
        names["D"]: heads * size,
        names["H"]: heads,
        names["L"]: 2,
        names["F"]: draw.randint(17, 23),
        names["P"]: draw.randint(17, 21) + (pad + 1 if pad else 0),
        "initializer_range": 0.02,
    }
    values |= {"layer_norm_epsilon": 3e-3} if kind == "gpt2" else {"layer_norm_eps": 2e-3}
    if kind == "albert":
        values["embedding_size"] = draw.randint(6, 9)
    if kind == "distilbert":
        del values["layer_norm_eps"]  # fixed there
    if kind == "gpt2":
        values |= {"bos_token_id": 2, "eos_token_id": 2}
    else:
        values["pad_token_id"] = pad
    none = NO_DROPOUT.get(kind, ["hidden_dropout_prob", "attention_probs_dropout_prob"])
    return cls, cls.config_class(**(values | dict.fromkeys(none, 0.0) | facts))


def is_norm_weight(name):
    return name.endswith("weight") and any(
        part in name for part in ("LayerNorm", "layer_norm", "ln_1", "ln_2", "ln_f")
    )


def random_model(folder, seed):
    """All parameters drawn, biases and norms too: what is 0 or 1 hides what is left out.
    bert_mlm's are numbers that every type of file holds exactly."""
    torch.manual_seed(seed)
    cls, config = config_of(folder, random.Random(seed))
    config._attn_implementation = "eager"
    model = cls(config).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(torch.randn(p.shape) * 0.3 + (1.0 if is_norm_weight(name) else 0.0))
            if folder == "bert_mlm":
                p.copy_(p.bfloat16().float())
                p.copy_(torch.where(p.abs() < 2**-9, torch.full_like(p, 2**-9), p))
                assert torch.equal(p, p.half().float())
    return model


def tokens_of(config):
    """How many tokens the longest text has."""
    offset = config.pad_token_id + 1 if "roberta" in config.model_type else 0
    return config.max_position_embeddings - offset


def batch_of(model, folder, draw):
    """Five texts: the longest that the positions allow, one of one token, one of which nothing
    is counted (but by a classifier), and two more; ids from 3 on."""
    config, lines = model.config, []
    longest, types = tokens_of(config), getattr(config, "type_vocab_size", 0)
    for i, n in enumerate((draw.randint(4, 8), longest, 1, 5, draw.randint(9, 12))):
        ids = [draw.randrange(3, config.vocab_size) for _ in range(n)]
        if folder.endswith("_pad") and n > 3:
            ids[n // 2] = ids[n // 2 + 1] = config.pad_token_id
        line = {"input_ids": ids}
        if types and i != 4:  # without: all of them 0
            line["token_type_ids"] = [int(k > n // 2) if types > 1 else 0 for k in range(n)]
        if MODELS[folder][0].endswith(("LM", "LMHeadModel")):
            labels = [draw.randrange(config.vocab_size) for _ in range(n)]
            counted = 0 if i == 3 else 0.4
            line["labels"] = [x if draw.random() < counted else -100 for x in labels]
            if i == 1:
                line["labels"][0] = line["labels"][-1] = config.vocab_size - 1
        else:
            line["label"] = draw.randrange(config.num_labels)
        lines.append(line)
    if folder == "gpt2_lm":
        lines[0]["labels"] = list(lines[0]["input_ids"])  # as a language model is trained
    return lines


def counted_of(model, line):
    """Positions that Hugging Face's loss of one text is the mean of; a causal head shifts."""
    if "label" in line:
        return 1
    labels = line["labels"][1:] if model.config.model_type == "gpt2" else line["labels"]
    return sum(x != -100 for x in labels)


def only_float64(module, _, result):
    for x in result.values() if isinstance(result, dict) else [result]:
        if isinstance(x, torch.Tensor) and x.is_floating_point():
            assert x.dtype == torch.float64, f"{type(module).__name__} computes in {x.dtype}"


def run(model, lines):
    total, counted, tensors = 0.0, 0, {}
    model = model.double()
    for module in model.modules():
        module.register_forward_hook(only_float64)
    for i, line in enumerate(lines):
        inputs = {k: torch.tensor([v]) for k, v in line.items() if k in INPUTS}
        labels = torch.tensor([line["labels"]] if "labels" in line else [line["label"]])
        result, n = model(**inputs, labels=labels), counted_of(model, line)
        if n:  # of none the mean is no number
            total, counted = total + result.loss * n, counted + n
        tensors[f"logits.{i}"] = result.logits.detach().reshape(-1, result.logits.shape[-1]).clone()
    loss = total / counted
    loss.backward()
    tensors["loss"] = loss.detach().reshape(1)
    for name, p in model.named_parameters():
        assert p.grad is not None or "pooler" in name, name
        if p.grad is not None:
            tensors[f"grad.{name}"] = p.grad.contiguous()
    return tensors


INPUTS = ("input_ids", "token_type_ids")


def make(folder):
    seed = arguments.seed * 1000 + zlib.crc32(folder.encode()) % 1000
    model = random_model(folder, seed)
    lines = batch_of(model, folder, random.Random(seed + 1))
    path = out / folder
    path.mkdir(parents=True)
    model.float().save_pretrained(path)
    values = {k: v.clone() for k, v in safetensors.torch.load_file(path / WEIGHTS).items()}
    safetensors.torch.save_file(run(model, lines), path / "expected.safetensors")
    (path / "batch.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return values


WEIGHTS = "model.safetensors"


def variant(name, like, values, **changes):
    """OUT/variants/NAME: the configuration of LIKE, other weights."""
    path = out / "variants" / name
    path.mkdir(parents=True)
    config = json.loads((out / like / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | changes, indent=2) + "\n")
    safetensors.torch.save_file(values, path / WEIGHTS, metadata={"format": "pt"})
    (path / "like.json").write_text(json.dumps({"like": like}) + "\n")
    return path


def old_name(name):
    """As files converted from TensorFlow had norms."""
    name = name.replace("LayerNorm.weight", "LayerNorm.gamma")
    return name.replace("LayerNorm.bias", "LayerNorm.beta")


def bert_variants(values):
    config = json.loads((out / "bert_mlm/config.json").read_text())
    d, positions = config["hidden_size"], config["max_position_embeddings"]
    words = values["bert.embeddings.word_embeddings.weight"]
    unread = {  # what a BERT file has beside a masked-LM model's own
        "bert.pooler.dense.weight": torch.randn(d, d),
        "bert.pooler.dense.bias": torch.randn(d),
        "cls.seq_relationship.weight": torch.randn(2, d),
        "cls.seq_relationship.bias": torch.randn(2),
    }
    alias = {
        "cls.predictions.decoder.weight": words.clone(),
        "cls.predictions.decoder.bias": values["cls.predictions.bias"].clone(),
    }
    numbers = {
        "bert.embeddings.position_ids": torch.arange(positions).reshape(1, -1),
        "bert.embeddings.token_type_ids": torch.zeros(1, positions, dtype=torch.int64),
    }
    bare = {k.removeprefix("bert."): v for k, v in values.items()}
    variant("old_names", "bert_mlm", {old_name(k): v for k, v in (values | unread | alias).items()})
    variant("module", "bert_mlm", {f"module.{k}": v for k, v in (values | alias).items()})
    variant("module_bare", "bert_mlm", {f"module.{k}": v for k, v in bare.items()})
    variant("position_ids", "bert_mlm", values | numbers)
    headless = {k: v for k, v in bare.items() if not k.startswith("cls.")}
    pooler = {k.removeprefix("bert."): v for k, v in unread.items() if "pooler" in k}
    path = variant("headless", "bert_mlm", headless | pooler, architectures=["BertModel"])
    (path / "like.json").unlink()  # its head would be drawn
    for kind in ("float16", "bfloat16", "float64"):
        typed = {k: v.to(getattr(torch, kind)) for k, v in values.items()}
        variant(kind, "bert_mlm", typed, dtype=kind)
    sharded(values)


def sharded(values):
    """Three shards, cut where the library would cut."""
    path = variant("sharded", "bert_mlm", {})
    (path / WEIGHTS).unlink()
    model = transformers.BertForMaskedLM.from_pretrained(out / "bert_mlm")
    shard = sum(v.numel() * 4 for v in values.values()) // 3 + 1000
    model.save_pretrained(path, max_shard_size=shard)
    assert (path / f"{WEIGHTS}.index.json").exists()


def gpt2_variant(values):
    """As the published file is: no prefix, and the causal masks that old releases saved."""
    positions = json.loads((out / "gpt2_lm/config.json").read_text())["n_positions"]
    bare = {k.removeprefix("transformer."): v for k, v in values.items()}
    below = torch.ones(positions, positions).tril().reshape(1, 1, positions, positions)
    bare |= {
        "h.0.attn.bias": below,
        "h.1.attn.bias": below.bool(),
        "h.0.attn.masked_bias": torch.tensor(-1e4),
    }
    variant("gpt2_published", "gpt2_lm", bare)


shutil.rmtree(out, ignore_errors=True)
out.mkdir(parents=True)
made = {folder: make(folder) for folder in MODELS}
torch.manual_seed(arguments.seed)
bert_variants(made["bert_mlm"])
gpt2_variant(made["gpt2_lm"])
versions = {"torch": torch.__version__, "transformers": transformers.__version__}
(out / "versions.json").write_text(json.dumps({"seed": arguments.seed} | versions, indent=1) + "\n")
size = sum(p.stat().st_size for p in out.rglob("*") if p.is_file())
print(f"{len(MODELS)} models, {size} bytes in {out}")
assert arguments.seed != 11 or size < WHOLE_BYTES, size
