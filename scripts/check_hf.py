#!/usr/bin/env python3
"""Compares `cloze trace` with Hugging Face on saved models.

    scripts/check_hf.py CLOZE MODEL_DIR [MODEL_DIR ...] [--loads-only]

Each MODEL_DIR is opened by transformers' from_pretrained, as the class that its configuration
names, and by `cloze trace --device ref`. Nothing may be newly initialised or left unread there;
logits, loss and every gradient of a random batch must agree to 1e-9 of the largest value. Texts go
through the model one by one, so that no padding enters. Where there is a tokenizer, its ids and
AutoTokenizer's of some texts are equal. --loads-only leaves the numbers out, for
versions of transformers that compute some of them otherwise. Needs torch, transformers, h5py. Exit
status 1 when they do not agree, 77 when a package is missing."""

import json, os, subprocess, sys, tempfile

if {"-h", "--help"} & set(sys.argv[1:]):  # before packages that may be missing
    sys.exit(print(__doc__))
os.environ["TRANSFORMERS_VERBOSITY"] = "error"

try:
    import h5py, torch, transformers
    import hf_float64  # noqa: F401: patches transformers
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

INPUTS = ("input_ids", "token_type_ids")


def load(folder):
    """The model in float64, without anything that its file lacks or it does not use."""
    with open(f"{folder}/config.json", encoding="utf-8") as f:
        name = json.load(f)["architectures"][0]
    model, found = getattr(transformers, name).from_pretrained(
        folder, attn_implementation="eager", output_loading_info=True, dtype="auto"
    )
    for what, keys in found.items():
        if keys:
            sys.exit(f"{folder}: transformers {transformers.__version__} has {what}: {keys}")
    return model.double().eval(), name


def longest(config):
    """Tokens of a text at most; RoBERTa's table begins behind the padding's row."""
    if config.model_type == "t5":
        return 40
    rows = getattr(config, "max_position_embeddings", None) or config.n_positions
    behind = config.pad_token_id + 1 if "roberta" in config.model_type else 0
    return min(rows - behind, 40)


def line_of(model, name, n, m):
    """A text of N tokens with what the class of the model predicts of it."""
    V, config = model.config.vocab_size, model.config

    def draw(size):
        return torch.randint(3, V, (size,)).tolist()

    line = {"input_ids": draw(n)}
    if getattr(config, "type_vocab_size", 0) > 1:
        line["token_type_ids"] = [int(i > n // 2) for i in range(n)]
    if name.endswith("ConditionalGeneration"):
        line["target_ids"] = draw(m)
    elif name.endswith(("MaskedLM", "LMHeadModel")):
        line["labels"] = [x if i % 3 else -100 for i, x in enumerate(draw(n))]
    else:
        classes = 2 if name.endswith("NextSentencePrediction") else config.num_labels
        line["label"] = int(torch.randint(0, classes, (1,)))
    return line


def counted(model, line):
    """Positions of which the loss of a text is the mean there; a causal head shifts."""
    if "label" in line:
        return 1
    if "target_ids" in line:
        return len(line["target_ids"])
    labels = line["labels"][1:] if model.config.model_type == "gpt2" else line["labels"]
    return sum(x != -100 for x in labels)


def expected(model, batch):
    """Logits of each text, and the loss over all, whose gradients are in the model then."""
    total, n, logits = 0.0, 0, []
    for line in batch:
        inputs = {k: torch.tensor([v]) for k, v in line.items() if k in INPUTS}
        labels = line.get("labels") or line.get("target_ids") or line["label"]
        result, k = model(**inputs, labels=torch.tensor([labels])), counted(model, line)
        if not hasattr(result, "logits"):
            sys.exit(f"{type(model).__name__} has no head whose logits to compare: --loads-only")
        logits.append(result.logits.detach().reshape(-1, result.logits.shape[-1]))
        if k:  # of none the mean is no number
            total, n = total + result.loss * k, n + k
    loss = total / n
    loss.backward()
    return logits, loss.detach().reshape(1)


TEXTS = (
    "The quick brown fox, unaffected.",
    " two  spaces and a tab\there ",
    "Zwölf Boxkämpfer, 3,14 % façade \u00a0 naïve Ⅷ",
    "日本語 text 😀 e\u0301 ﬁn",
    "",
)


def check_ids(cloze, folder):
    """How many texts have the ids that transformers gives; none where there is no tokenizer."""
    if not os.path.exists(f"{folder}/tokenizer.json"):
        return 0
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    run = subprocess.run(
        [cloze, "tokenize", folder, "--json"],
        input="".join(f"{t}\n" for t in TEXTS),
        text=True,
        capture_output=True,
        check=True,
    )
    for text, line in zip(TEXTS, run.stdout.splitlines(), strict=True):
        got, want = json.loads(line)["ids"], theirs(text)["input_ids"]
        if got != want:
            sys.exit(f"{folder}: {text!r} has the ids {got}, there {want}")
    return len(TEXTS)


class Worst:
    def __init__(self, folder):
        self.folder, self.error = folder, 0.0

    def compare(self, name, got, want):
        if tuple(got.shape) != tuple(want.shape):
            sys.exit(f"{self.folder}: {name}: {tuple(got.shape)}, not {tuple(want.shape)}")
        scale = max(1e-3, float(want.abs().max()))
        error = float((torch.from_numpy(got) - want).abs().max() / scale)
        self.error = max(self.error, error)
        if not error < 1e-9:
            sys.exit(f"{self.folder}: {name}: differs by {error:.2e} of its largest value")


def trace(cloze, folder, batch, scratch):
    batch_file, out = f"{scratch}/batch.jsonl", f"{scratch}/out.h5"
    with open(batch_file, "w", encoding="utf-8") as f:
        f.writelines(json.dumps(line) + "\n" for line in batch)
    subprocess.run(
        [cloze, "trace", folder, "--batch", batch_file, "--out", out, "--device", "ref"], check=True
    )
    return h5py.File(out)


def gradients(model, found):
    """Those of the model by name. A tied parameter has several names, of which versions of
    transformers call different ones the first: it is the one that is FOUND."""
    names = {}
    for name, p in model.named_parameters(remove_duplicate=False):
        if p.grad is not None and (id(p) not in names or name in found):
            names[id(p)] = name, p.grad
    lacks = {name for name, _ in names.values()} - set(found)
    if lacks:
        sys.exit(f"no gradients of {sorted(lacks)}")
    return dict(names.values())


def check(cloze, folder, loads_only):
    torch.manual_seed(1)
    model, name = load(folder)
    texts = check_ids(cloze, folder)
    if loads_only:
        print(f"{folder}: {texts} texts agree; loads as {name}, transformers {transformers.__version__}")
        return
    n = longest(model.config)
    batch = [line_of(model, name, *sizes) for sizes in ((n // 2, 7), (1, 1), (n, 23))]
    logits, loss = expected(model, batch)
    worst = Worst(folder)
    with tempfile.TemporaryDirectory() as d, trace(cloze, folder, batch, d) as f:
        worst.compare("loss", f["loss"][()], loss)
        for i, x in enumerate(logits):
            worst.compare(f"logits/{i}", f[f"logits/{i}"][()], x)
        names = gradients(model, f["grad"])
        for k, gradient in names.items():
            worst.compare(k, f["grad"][k][()], gradient)
        extra = set(f["grad"]) - set(names)
        if extra:
            sys.exit(f"{folder}: gradients of no parameter there: {sorted(extra)}")
    print(
        f"{folder}: agree: loss, {len(logits)} logits, {len(names)} gradients, "
        f"{texts} texts' ids; worst {worst.error:.1e}, transformers {transformers.__version__}"
    )


words = [w for w in sys.argv[1:] if w != "--loads-only"]
if len(words) < 2:
    sys.exit(__doc__)
for folder in words[1:]:
    check(words[0], folder, "--loads-only" in sys.argv)
