#!/usr/bin/env python3
"""Makes tests/fixtures/encoder/: logistic regression on a frozen sentence encoder's vectors, by
Hugging Face's BERT in float64 and scikit-learn.

    /work/torchenv/bin/python scripts/make_encoder_fixture.py [OUT] [--seed N]

OUT gets t.tsv, d.tsv and test.tsv, encoder.yaml, which names fields and labels, and expected.json:
for each strength C the probabilities of every text of the three files, in their order, and the
accuracy on test.tsv. The encoder is the random model of make_pet_fixture.py. A text's vector is the
mean of its last states, those of [CLS] and [SEP] among them, divided by its length; one text at a
time goes through the model, so no padding enters. Needs torch, transformers, tokenizers,
scikit-learn, numpy."""

import argparse
import json
import pathlib
import random

arguments = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
arguments.add_argument("out", nargs="?", default="tests/fixtures/encoder", metavar="OUT")
arguments.add_argument("--seed", type=int, default=32, help="of the texts")
arguments = arguments.parse_args()  # before packages that may be missing

import numpy
import sklearn
import tokenizers
import torch
import transformers
from sklearn.linear_model import LogisticRegression

MODEL = pathlib.Path("tests/fixtures/pet/model")
MAX_LENGTH, LABELS = 22, ["games", "music", "food"]
STRENGTHS = [1.0, 300.0]
TELL = [["play", "game", "jump"], ["song", "drum", "tune"], ["eat", "bread", "soup"]]
WORDS = "the of and to with is about very sweet level loud win sing cook".split()


def make_texts(draw, n, seen):
    """Texts of each label in turn, of 1 to 24 words, none of them twice; some are cut."""
    rows = []
    while len(rows) < n:
        label = len(rows) % 3
        length = draw.choice([1, 2, 4, 8, 15, 24])
        words = [draw.choice(TELL[label if draw.random() < 0.9 else draw.randrange(3)])
                 if draw.random() < 0.7 else draw.choice(WORDS) for _ in range(length)]
        text = " ".join(words)
        if text in seen:
            continue
        seen.add(text)
        rows.append((text, LABELS[label]))
    return rows


def vectors_of(model, tokenizer, rows):
    begin, end = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    vectors, cut = [], 0
    for text, _ in rows:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        cut += len(ids) > MAX_LENGTH - 2
        ids = [begin] + ids[:MAX_LENGTH - 2] + [end]
        with torch.no_grad():
            states = model(input_ids=torch.tensor([ids])).last_hidden_state[0]
        mean = states.mean(0).numpy()
        vectors.append(mean / numpy.sqrt((mean ** 2).sum()))
    return numpy.array(vectors), cut


def main():
    out = pathlib.Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    draw, seen = random.Random(arguments.seed), set()
    sets = {name: make_texts(draw, n, seen) for name, n in (("t", 18), ("d", 8), ("test", 24))}
    for name, rows in sets.items():
        lines = [f"{text}\t{label}" if name != "d" else text for text, label in rows]
        head = "text\tsection" if name != "d" else "text"
        (out / f"{name}.tsv").write_text("\n".join([head, *lines]) + "\n")
    (out / "encoder.yaml").write_text(
        "# For tests/few_shot/test_encoder.c; make_encoder_fixture.py wrote it.\n"
        f"fields: {{a: text}}\nlabel_column: section\nlabels: [{', '.join(LABELS)}]\n")
    tokenizer = tokenizers.Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    model = transformers.BertModel.from_pretrained(MODEL, add_pooling_layer=False).double().eval()
    made = {name: vectors_of(model, tokenizer, rows) for name, rows in sets.items()}
    assert all(0 < made[name][1] < len(sets[name]) for name in ("t", "test"))
    labels = {name: [LABELS.index(label) for _, label in rows] for name, rows in sets.items()}
    versions = [torch, transformers, tokenizers, sklearn]
    expected = {"library": {m.__name__: m.__version__ for m in versions},
                "max_length": MAX_LENGTH, "fits": []}
    for strength in STRENGTHS:
        fit = LogisticRegression(C=strength, solver="newton-cg", tol=1e-12, max_iter=10000)
        fit.fit(made["t"][0], labels["t"])
        p = {name: fit.predict_proba(x) for name, (x, _) in made.items()}
        right = p["test"].argmax(1) == numpy.array(labels["test"])
        assert 0.4 < right.mean() < 1, right.mean()
        expected["fits"].append({
            "strength": strength, "accuracy": right.mean(),
            **{name: [round(float(x), 12) for x in q.ravel()] for name, q in p.items()}})
    (out / "expected.json").write_text(json.dumps(expected, separators=(",", ":")) + "\n")
    print(f"{out}: accuracy", *(f"{f['accuracy']:.3f}" for f in expected["fits"]))


main()
