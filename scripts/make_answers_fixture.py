#!/usr/bin/env python3
"""Makes tests/fixtures/pet/answers.yaml and answers.json: scores of answers of several tokens, in
all orders in which their masks can be filled in, by Hugging Face's BERT in float64.

    /work/torchenv/bin/python scripts/make_answers_fixture.py [OUT]

OUT, tests/fixtures/pet, has the model and test.tsv of make_pet_fixture.py. Written from docs/pet.md
3.3: texts and answers go through the model one at a time. Needs torch, transformers, tokenizers."""

import argparse
import json
import pathlib

arguments = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
arguments.add_argument("out", nargs="?", default="tests/fixtures/pet", metavar="OUT")
arguments = arguments.parse_args()  # before packages that may be missing

import hf_float64  # noqa: F401: patches transformers
import tokenizers
import torch
import transformers
from make_prompt_fixtures import MASK, Kind, apply

MAX_LENGTH = 22
LABELS = ["games", "music", "food"]
PATTERNS = [  # of title a and text b; words of each label
    ("{mask:3} : {a*} {b*}", lambda a, b: ([MASK] * 3 + [":", (a, True), (b, True)], None),
     [["gamer", "play"], ["songs"], ["eater", "soup", "cooks"]]),
    ("{a*} ( about {mask:4} ) || {b*}",
     lambda a, b: ([(a, True), "( about"] + [MASK] * 4 + [")"], [(b, True)]),
     [["games"], ["bands"], ["foodie"]]),
    ("{mask:2} : {a*} {b*}", lambda a, b: ([MASK] * 2 + [":", (a, True), (b, True)], None),
     [["game"], ["song"], ["food"]]),
]
ORDERS = ["confident_first", "left_to_right", "parallel"]


def log_p(model, ids, types):
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids]), token_type_ids=torch.tensor([types])).logits
    return torch.log_softmax(logits[0], -1)


def score(model, ids, types, rows, answer, order):
    surplus = rows[len(answer):]
    types = [t for i, t in enumerate(types) if i not in surplus]
    ids = [t for i, t in enumerate(ids) if i not in surplus]
    if order == "parallel":
        at_once = log_p(model, ids, types)
        return sum(float(at_once[row, token]) for row, token in zip(rows, answer))
    total, places = 0.0, list(zip(rows, answer))
    while places:
        now = log_p(model, ids, types)
        row, token = places[0]
        if order == "confident_first":
            row, token = max(places, key=lambda place: float(now[place]))
        total += float(now[row, token])
        ids = ids[:row] + [token] + ids[row + 1:]
        places.remove((row, token))
    return total


def pattern_file():
    lines = ["# For tests/few_shot/test_answers.c; make_answers_fixture.py wrote it.",
             "fields: {a: title, b: text}", "label_column: section",
             f"labels: [{', '.join(LABELS)}]", "patterns:"]
    patterns = [(text, words) for text, _, words in PATTERNS]
    for text, words in [*patterns, ("{mask} : {a*} {b*}", PATTERNS[-1][2])]:
        each = ", ".join(f"{label}: [{', '.join(w)}]" for label, w in zip(LABELS, words))
        lines.append(f'  - {{pattern: "{text}", words: {{{each}}}}}')
    return "\n".join(lines) + "\n"


def main():
    out = pathlib.Path(arguments.out)
    tokenizer = tokenizers.Tokenizer.from_file(str(out / "model" / "tokenizer.json"))
    kind = Kind(tokenizer, "[MASK]", False, [2, 3, 3], 1)
    model = transformers.BertForMaskedLM.from_pretrained(out / "model").double().eval()
    rows = [line.split("\t") for line in (out / "test.tsv").read_text().splitlines()[1:]]
    scores, cut = {order: [] for order in ORDERS}, 0
    for _, parts, words in PATTERNS:
        answers = [[kind.ids(w) for w in label] for label in words]
        for order in ORDERS:
            mine = []
            for a, b, _ in rows:
                ids, types, places, taken = apply(kind, *parts(a, b), MAX_LENGTH)
                cut += taken > 0
                for label in answers:
                    each = [score(model, ids, types, places, x, order) for x in label]
                    mine.append(sum(each) / len(each))
            scores[order].append(mine)
        print([[len(x) for x in label] for label in answers])
    assert cut  # or nothing is known of texts that are
    (out / "answers.yaml").write_text(pattern_file())
    versions = {m.__name__: m.__version__ for m in (torch, transformers, tokenizers)}
    (out / "answers.json").write_text(
        json.dumps({"versions": versions, **scores}, separators=(",", ":"), allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
