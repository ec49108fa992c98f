#!/usr/bin/env python3
"""Makes tests/fixtures/pet/published/: training as the published code of PET does it, which
`fidelity: code` reproduces, by Hugging Face's BERT and RoBERTa in float64, without dropout.

    /work/torchenv/bin/python scripts/make_published_fixture.py [OUT] [--seed N]

OUT gets the folders bert and roberta, models with random weights for the tokenizers of
tests/fixtures/prompts, p.yaml, train.tsv, pool.tsv and test.tsv, and expected.json: of a member of
each family, and of a student of BERT's, loss and gradient norm of each update and all scores.

Written from docs/pet.md 1.2, 1.3, 1.6 and 5.1: every text is padded, with an attention mask, to one
length; all but what stands around a text may be masked, padding too; the loss is the mean of the
micro-batches' means; epochs restart, and micro-batches that are no whole update add to the next;
one update more than told is made, with the rate 0; the student's loss is the divergence. RoBERTa's
rows of positions are Hugging Face's own, from the masked ids.

Needs torch, transformers, tokenizers."""

import argparse
import json
import pathlib
import random

arguments = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
arguments.add_argument("out", nargs="?", default="tests/fixtures/pet/published", metavar="OUT")
arguments.add_argument("--seed", type=int, default=3, help="of weights and texts")
arguments = arguments.parse_args()  # before packages that may be missing

import cloze_random
import hf_float64  # noqa: F401: patches transformers
import tokenizers
import torch
import transformers
from make_prompt_fixtures import MASK, Kind, apply
from pet_loop import batches, draw_classifier, key_of, train

# What tests/few_shot/test_fidelity.c asks of the program.
SEED, UPDATES, ALPHA, RATE, MAX_LENGTH = 5, 6, 0.4, 4e-3, 24
SHARDS, LABELLED, AUXILIARY = 2, 2, 6  # of a batch, 1 and 3 of each micro-batch
STUDENT_UPDATES, STUDENT_BATCH, TEMPERATURE = 5, 4, 2.0
SIZES = {"train": 5, "pool": 13, "test": 4}  # the first two leave a micro-batch over
FAMILIES = {  # tokenizer's mask, byte level, special tokens around and between, second type
    "bert": ("[MASK]", "[CLS]", "[SEP]", "[PAD]", False, 1),
    "roberta": ("<mask>", "<s>", "</s>", "<pad>", True, 0),
}
LABELS, WORDS = ["x", "y", "z"], [["about"], ["with"], ["for", "is"]]
PATTERN_FILE = """# For tests/few_shot/test_fidelity.c; make_published_fixture.py wrote it.
fields: {a: title, b: text}
labels: [x, y, z]
words: {x: about, y: with, z: [for, is]}
patterns: ["{a*} ( {mask} ) || {b*}"]
"""
PLENTY = "the of and to in a is that for it as was with be by on not he his but".split()


def make_model(family, tokenizer):
    _, _, _, pad, _, types = FAMILIES[family]
    sizes = dict(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=8, num_hidden_layers=2,
        num_attention_heads=2, intermediate_size=12, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, initializer_range=0.3, type_vocab_size=types + 1,
        pad_token_id=tokenizer.token_to_id(pad),
    )
    torch.manual_seed(arguments.seed)
    if family == "bert":
        model = transformers.BertForMaskedLM(
            transformers.BertConfig(max_position_embeddings=MAX_LENGTH, **sizes))
    else:
        model = transformers.RobertaForMaskedLM(transformers.RobertaConfig(
            max_position_embeddings=MAX_LENGTH + 1 + sizes["pad_token_id"], **sizes,
            bos_token_id=tokenizer.token_to_id("<s>"), eos_token_id=tokenizer.token_to_id("</s>")))
    for name, p in model.named_parameters():
        gain = name.endswith(("LayerNorm.weight", "layer_norm.weight"))
        p.data = (1 if gain else 0) + torch.randn_like(p) * (0.1 if gain else 0.25)
    model.tie_weights()
    return model


def make_data(out):
    draw, data, i = random.Random(arguments.seed), {}, 0
    for name, n in SIZES.items():
        rows = []
        for _ in range(n):
            text = " ".join(draw.choice(PLENTY) for _ in range(draw.randrange(1, 12)))
            rows.append((PLENTY[i % len(PLENTY)], text, LABELS[draw.randrange(3)]))
            i += 1
        data[name] = rows
        lines = ["title\ttext\tlabel"] + ["\t".join(row) for row in rows]
        (out / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    return data


class Run:
    """Texts as padded inputs, models over them."""

    def __init__(self, folder, family, tokenizer, data):
        mask, begin, end, pad, byte_level, types = FAMILIES[family]
        begin, end, self.pad = (tokenizer.token_to_id(x) for x in (begin, end, pad))
        around = [begin, end, end, end] if byte_level else [begin, end, end]
        self.folder, self.family, self.data = folder, family, data
        self.kind = Kind(tokenizer, mask, byte_level, around, types)
        self.around, self.size = {begin, end}, tokenizer.get_vocab_size()

    def inputs(self, name, prompt=True):
        for a, b, _ in self.data[name]:
            first = [(a, True), "(", MASK, ")"] if prompt else [(a, True)]
            ids, types, row, _ = apply(self.kind, first, [(b, True)], MAX_LENGTH)
            missing = MAX_LENGTH - len(ids)
            yield {"ids": ids + [self.pad] * missing, "types": types + [0] * missing, "row": row,
                   "seen": [1] * len(ids) + [0] * missing}

    def forward(self, model, x):
        fed = {"input_ids": x["ids"], "attention_mask": x["seen"]}
        if self.family == "bert":
            fed["token_type_ids"] = x["types"]
        return model(**{k: torch.tensor([v]) for k, v in fed.items()}).logits[0]

    def masked(self, x, seed, epoch, number):
        """All but what stands around a text: the pattern's mask and padding too."""
        s = cloze_random.Stream(seed, "masked tokens", epoch, number)
        ids, labels = list(x["ids"]), []
        for i, token in enumerate(ids):
            chosen = token not in self.around and s.uniform() < 0.15
            labels.append(token if chosen else -100)
            if chosen:
                u = s.uniform()
                ids[i] = token if u < 0.1 else s.below(self.size) if u < 0.2 else self.kind.mask
        return {**x, "ids": ids, "labels": labels}

    def scores(self, model, x):
        """Of the labels: the mean of their words' logits at the mask, or the classifier's."""
        logits = self.forward(model, x)
        if not x["row"]:
            return logits
        words = [[self.kind.ids(w)[0] for w in label] for label in WORDS]
        return torch.stack([logits[x["row"][0]][w].mean() for w in words])

    def all_scores(self, model, prompt=True):
        names = {"labelled": "train", "unlabelled": "pool", "test": "test"}
        with torch.no_grad():
            return {key: torch.stack([self.scores(model, x) for x in self.inputs(name, prompt)])
                    .numpy().astype("float32") for key, name in names.items()}


def micro_batches(n, size, shards, seed):
    """Endless updates: lists of micro-batches of SIZE texts, of an epoch the last maybe less. Each
    epoch is a new order and counts anew to SHARDS; what is no whole update is in front of the next
    one, where its gradients still lie."""
    epoch, left = 0, []
    while True:
        order = list(range(n))
        cloze_random.Stream(seed, "data.prepared", epoch, 0).shuffle(order)
        micro = [order[i : i + size] for i in range(0, n, size)]
        while len(micro) >= shards:
            yield left + micro[:shards]
            left, micro = [], micro[shards:]
        epoch, left = epoch + 1, micro


def member(run, tokenizer):
    """Trains one; PADDED counts targets that are padding, MASKS those that are the pattern's."""
    seed = key_of(SEED, 0, 0, 0)
    model = transformers.AutoModelForMaskedLM.from_pretrained(run.folder).double().eval()
    mine, others = list(run.inputs("train")), list(run.inputs("pool"))
    wanted = [LABELS.index(row[2]) for row in run.data["train"]]
    drawn = micro_batches(len(mine), LABELLED // SHARDS, SHARDS, seed)
    helpers = (x for batch in batches(len(others), AUXILIARY,
                                      seed ^ cloze_random.hash64(b"unlabelled")) for x in batch)
    counts = {"padded": 0, "masks": 0, "targets": 0}

    def micro(labelled, hidden):
        classes = [torch.nn.functional.cross_entropy(run.scores(model, mine[i]),
                                                     torch.tensor(wanted[i])) for i in labelled]
        hidden = [run.masked(others[i], seed, epoch, i) for epoch, i in hidden]
        logits = torch.cat([run.forward(model, x) for x in hidden])
        labels = [label for x in hidden for label in x["labels"]]
        counts["padded"] += labels.count(run.pad)
        counts["masks"] += labels.count(run.kind.mask)
        counts["targets"] += len(labels) - labels.count(-100)
        words = torch.nn.functional.cross_entropy(logits, torch.tensor(labels))
        return (1 - ALPHA) * sum(classes) / len(classes) + ALPHA * words

    def loss():
        each = AUXILIARY // SHARDS
        losses = [micro(texts, [next(helpers) for _ in range(each)]) for texts in next(drawn)]
        return sum(losses) / SHARDS

    out = train(model, RATE, UPDATES, loss, idle=1)
    assert counts["masks"] and counts["padded"] and counts["padded"] < counts["targets"]
    return {**out, **counts, **run.all_scores(model)}


def student(run, teacher):
    """A classifier that learns what the member says of the pool."""
    targets = torch.softmax(torch.tensor(teacher["unlabelled"]).double() / TEMPERATURE, 1)
    seed = key_of(SEED, 0, -1, 0)
    model = transformers.BertForSequenceClassification.from_pretrained(
        run.folder, num_labels=len(LABELS)).double().eval()
    draw_classifier(model, seed)
    texts = list(run.inputs("pool", prompt=False))
    drawn = micro_batches(len(texts), STUDENT_BATCH // SHARDS, SHARDS, seed)

    def micro(batch):
        predicted = torch.stack([run.scores(model, texts[i]) for i in batch])
        log_p = torch.log_softmax(predicted / TEMPERATURE, 1)
        kl = torch.nn.functional.kl_div(log_p, targets[batch], reduction="sum")
        return kl * TEMPERATURE**2 / len(batch)

    out = train(model, RATE, STUDENT_UPDATES, lambda: sum(map(micro, next(drawn))) / SHARDS, idle=1)
    return {**out, **run.all_scores(model, prompt=False)}


def plain(x):
    """For JSON; a matrix is the list of its numbers."""
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items()}
    return [float(v) for v in x.ravel()] if hasattr(x, "ravel") else x


def main():
    out = pathlib.Path(arguments.out)
    tokens = pathlib.Path(__file__).parent.parent / "tests/fixtures/prompts"
    out.mkdir(parents=True, exist_ok=True)
    (out / "p.yaml").write_text(PATTERN_FILE)
    data, expected = make_data(out), {}
    for family in FAMILIES:
        tokenizer = tokenizers.Tokenizer.from_file(str(tokens / f"{family}.json"))
        make_model(family, tokenizer).save_pretrained(out / family)
        (out / family / "generation_config.json").unlink(missing_ok=True)
        run = Run(out / family, family, tokenizer, data)
        expected[family] = member(run, tokenizer)
        if family == "bert":
            expected["student"] = student(run, expected[family])
    expected["versions"] = {m.__name__: m.__version__ for m in (torch, transformers, tokenizers)}
    (out / "expected.json").write_text(json.dumps(plain(expected), separators=(",", ":"),
                                                  allow_nan=False) + "\n")
    for family in FAMILIES:
        print(family, {k: expected[family][k] for k in ("targets", "padded", "masks")})


if __name__ == "__main__":
    main()
