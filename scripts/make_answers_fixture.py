#!/usr/bin/env python3
"""Makes tests/fixtures/pet/answers.yaml and answers.json: scores of answers of several tokens, in
all orders in which their masks can be filled in, by Hugging Face's BERT in float64; and
members that are trained on such answers, as expected.json has those of one mask: trained.yaml and
trained.json on labels' answers, choices.* on those that records bring along.

    /work/torchenv/bin/python scripts/make_answers_fixture.py [OUT]

OUT, tests/fixtures/pet, has the model, train.tsv and test.tsv of make_pet_fixture.py, whose draws,
optimizer and auxiliary loss these members have. Written from docs/pet.md 1.1 and 3.3: texts and
answers go through the model one at a time. Needs torch, transformers, tokenizers, numpy."""

import argparse
import json
import pathlib
import random

arguments = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
arguments.add_argument("out", nargs="?", default="tests/fixtures/pet", metavar="OUT")
arguments = arguments.parse_args()  # before packages that may be missing

import hf_float64  # noqa: F401: patches transformers
import make_pet_fixture as pet
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
# To train on, one answer a label; of four masks in the second no answer needs more than three.
TRAINED = [
    (*PATTERNS[0][:2], ["gamer", "songs", "eater"]),
    (*PATTERNS[1][:2], ["games", "band", "foodie"]),
    ("{mask} : {a*} {b*}", lambda a, b: ([MASK, ":", (a, True), (b, True)], None),
     ["game", "song", "food"]),
]
# Of records that bring answers along: text a, choices x and y, of at most three tokens.
BROUGHT = [
    ("{mask:3} , {a*} : {x|inline} or {y|inline} ?",
     lambda a, x, y: ([MASK] * 3 + [",", (a, True), f": {x} or {y} ?"], None)),
    ("{a*} || about {mask:5} .",
     lambda a, x, y: ([(a, True)], ["about"] + [MASK] * 5 + ["."])),
]
CHOICES = ["game", "songs", "eat soup", "loud band", "play", "gamer", "a sweet song", "bread"]
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


class Run(pet.Run):
    """Texts under TRAINED, or under BROUGHT where they bring answers along. A loss is 1 + log p of a
    wrong answer - log p of the right one where that is above 0, summed over the wrong ones, in one
    pass over all masks of the longest answer."""

    brought = False

    def inputs(self, rows, pattern):
        for i in rows:
            if self.brought:
                text, choices, _ = self.rows[i]
                parts, words = BROUGHT[pattern][1](text, *choices), choices
                if pattern < 0:
                    parts = ([(text, True)], [(c, True) for c in choices])
            elif pattern < 0:
                yield from super().inputs([i], pattern)
                continue
            else:
                parts, words = TRAINED[pattern][1](*self.rows[i][:2]), TRAINED[pattern][2]
            ids, types, masks, _ = apply(self.kind, *parts, MAX_LENGTH)
            yield {"ids": ids, "types": types, "row": masks,
                   "answers": [self.kind.ids(word) for word in words]}

    def to_train(self, rows, pattern):
        for x in self.inputs(rows, pattern):
            longest = max(len(answer) for answer in x["answers"])
            surplus = x["row"][longest:]
            kept = [i for i in range(len(x["ids"])) if i not in surplus]
            yield {**x, "ids": [x["ids"][i] for i in kept], "types": [x["types"][i] for i in kept],
                   "row": x["row"][:longest]}

    def by_words(self, pattern):
        return not self.brought and TRAINED[pattern][0].startswith("{mask}")

    def scores(self, model, x, pattern):
        if self.by_words(pattern):
            return self.forward(model, x)[x["row"][0]][[word for word, in x["answers"]]]
        return torch.tensor([score(model, x["ids"], x["types"], x["row"], answer, ORDERS[0])
                             for answer in x["answers"]])

    def loss(self, model, x, pattern, label):
        if self.by_words(pattern):
            return super().loss(model, x, pattern, label)
        log_p = torch.log_softmax(self.forward(model, x), -1)
        each = torch.stack([sum(log_p[row, token] for row, token in zip(x["row"], answer))
                            for answer in x["answers"]])
        margins = 1 - each[label] + each
        return sum(torch.relu(m) for k, m in enumerate(margins) if k != label)


def trained(out, kind):
    files = [[line.split("\t") for line in (out / f"{name}.tsv").read_text().splitlines()[1:]]
             for name in ("train", "test")]
    t, d = pet.draw_sets(*files)
    run = Run(out / "model", kind, files[0] + files[1])
    sets = (t, d, [len(files[0]) + i for i in range(len(files[1]))])
    texts = [(i, LABELS.index(files[0][i][2])) for i in t]
    lengths = [[len(kind.ids(word)) for word in words] for _, _, words in TRAINED]
    assert max(lengths[1]) == 3 and lengths[2] == [1, 1, 1], lengths
    members = [pet.member(run, sets, (0, p, 0), texts) for p in range(len(TRAINED))]
    print(lengths, [m["losses"][:: pet.UPDATES - 1] for m in members])
    return {"members": pet.plain(members)}


def brought(out, kind):
    """Members that are trained on records with choices of their own, choices.{train,pool,test}.tsv."""
    draw, files = random.Random(3), {}
    for name, n in (("train", 8), ("pool", 10), ("test", 6)):
        rows = [(text, tuple(draw.sample(CHOICES, 2)), str(draw.randrange(2)))
                for _, text, _ in pet.make_texts(draw, n)]
        files[name] = rows
        lines = [[text, *choices, label][: 3 if name == "pool" else 4] for text, choices, label in rows]
        header = ["text", "first", "second", "right"][: len(lines[0])]
        (out / f"choices.{name}.tsv").write_text(
            "\n".join("\t".join(line) for line in [header, *lines]) + "\n")
    run = Run(out / "model", kind, [row for rows in files.values() for row in rows])
    run.brought, pet.LABELS = True, ["0", "1"]
    ends = [8, 18, 24]
    sets = [list(range(end - len(rows), end)) for end, rows in zip(ends, files.values())]
    texts = [(i, pet.LABELS.index(run.rows[i][2])) for i in sets[0]]
    members = [pet.member(run, sets, (0, p, 0), texts) for p in range(len(BROUGHT))]
    print([len(kind.ids(c)) for c in CHOICES], [m["losses"][:: pet.UPDATES - 1] for m in members])
    (out / "choices.yaml").write_text("\n".join([
        "# For tests/few_shot/test_answers.c; make_answers_fixture.py wrote it.",
        "fields: {a: text, x: first, y: second}", "label_column: right", "labels: [0, 1]",
        'choices: ["{x}", "{y}"]', "patterns:", *[f'  - "{text}"' for text, _ in BROUGHT]]) + "\n")
    return {"members": pet.plain(members)}


def pattern_file(patterns, test):
    lines = [f"# For tests/few_shot/{test}; make_answers_fixture.py wrote it.",
             "fields: {a: title, b: text}", "label_column: section",
             f"labels: [{', '.join(LABELS)}]", "patterns:"]
    for text, words in patterns:
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
    patterns = [(text, words) for text, _, words in PATTERNS]
    one_mask = ("{mask} : {a*} {b*}", PATTERNS[-1][2])
    (out / "answers.yaml").write_text(pattern_file([*patterns, one_mask], "test_answers.c"))
    each = [(text, [[word] for word in words]) for text, _, words in TRAINED]
    (out / "trained.yaml").write_text(pattern_file(each, "test_answers.c"))
    versions = {m.__name__: m.__version__ for m in (torch, transformers, tokenizers)}
    trainings = {"trained": trained(out, kind), "choices": brought(out, kind)}
    for name, what in {"answers": scores, **trainings}.items():
        (out / f"{name}.json").write_text(
            json.dumps({"versions": versions, **what}, separators=(",", ":"), allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
