#!/usr/bin/env python3
"""Makes tests/fixtures/pet/record.*: questions of ReCoRD's form, whose candidates are entities of the
passage in any number, and members that are trained on them by Hugging Face's BERT in float64.

    /work/torchenv/bin/python scripts/make_record_fixture.py [OUT]

OUT, tests/fixtures/pet, has the model of make_pet_fixture.py, whose optimizer and auxiliary loss these
members have. Written from docs/pet.md 1.1 and 3.3 and from the official scorer's description: texts
and answers go through the model one at a time. The wrong candidates of a text of T are the program's
draws, from their definition. Needs torch, transformers, tokenizers, numpy."""

import argparse
import json
import pathlib
import random
import re
import string
import struct

arguments = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
arguments.add_argument("out", nargs="?", default="tests/fixtures/pet", metavar="OUT")
arguments = arguments.parse_args()  # before packages that may be missing

import cloze_random
import make_answers_fixture as several
import make_pet_fixture as pet
import numpy as np
import tokenizers
import torch
import transformers
from make_prompt_fixtures import MASK, Kind

SEED, TRAINED, BLANK = 8, 10, "@placeholder"
PATTERNS = [
    ("{p*} {before} {mask:3} {after}", lambda p, b, a: ([(p, True), b] + [MASK] * 3 + [a], None)),
    ("{p*} || {before} {mask:4} {after} .", lambda p, b, a: ([(p, True)], [b] + [MASK] * 4 + [a, "."])),
]
ENTITIES = ("game songs band soup gamer play drum bread loud level race sweet guitar enemy".split()
            + ["The Band", "loud band", "eat soup", "Drum", "sweet song", "loud drum", "play song"])
QUERIES = ["the {} is loud", "{} with food", "sing about {}", "a {} to eat the soup", "win {} ?"]


def passage(draw, n, questions, answered):
    """One with N entities, some of which stand there twice, and a highlight."""
    names, text, entities = draw.sample(ENTITIES, n), "", []
    for i, name in enumerate(names + names[:1]):
        text += ["", " and ", "\n@highlight\n"][0 if not i else 1 if i < n else 2]
        entities.append({"start": len(text), "end": len(text) + len(name) - 1})
        text += name
    qas = []
    for query in draw.sample(QUERIES, questions):
        qas.append({"query": query.format(BLANK)})
        if answered:
            right = draw.sample(names, 2 if n > 12 else min(n, draw.choice([1, 1, 2])))
            qas[-1]["answers"] = [{"text": x} for x in right]
    return {"passage": {"text": text, "entities": entities}, "qas": qas}


def fixed(names, asked):
    text = " and ".join(names)
    return {"passage": {"text": text, "entities": [
        {"start": text.index(x), "end": text.index(x) + len(x) - 1} for x in reversed(names)]},
        "qas": [{"query": query.format(BLANK), "answers": [{"text": x} for x in answers]}
                for query, answers in asked]}


def normalised(text):
    """As SQuAD's official scorer sees an answer: no case, punctuation, articles, spare blanks."""
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return [w for w in re.split(r"\s+", text) if w and w not in ("a", "an", "the")]


def scored(output, answers):
    """Exact match and F1, the best over the answers."""
    best = [0.0, 0.0]
    for answer in answers:
        a, b = normalised(output), normalised(answer)
        common = sum(min(a.count(w), b.count(w)) for w in set(a))
        f1 = 2 * common / (len(a) + len(b)) if common else float(a == b)
        best = [max(best[0], float(a == b)), max(best[1], f1)]
    return best


def text_hash(fields):
    normal = "".join(" ".join(f.lower().split()) + "\0" for f in fields)
    return cloze_random.hash64(normal.encode())


def questions(objects):
    """Passage, query on either side, a label for pet.member, candidates, answers."""
    for o in objects:
        text = o["passage"]["text"]
        names = sorted({text[e["start"] : e["end"] + 1] for e in o["passage"]["entities"]})
        for q in o["qas"]:
            before, after = q["query"].split(BLANK)
            answers = sorted({a["text"] for a in q.get("answers", [])})
            yield text.replace("@highlight\n", "- "), before, "0", after, names, answers


def to_train(row):
    """One for each answer, first of at most ten."""
    text, before, label, after, names, answers = row
    key = cloze_random.hash64(struct.pack("<Q", text_hash((text, before, after))), pet.SEED)
    for a, answer in enumerate(answers):
        wrong = [n for n in names if n not in answers]
        if len(wrong) >= TRAINED:
            cloze_random.Stream(key, "candidates", a, 0).shuffle(wrong)
        yield text, before, label, after, [answer] + wrong[: TRAINED - 1], [answer]


class Run(several.Run):
    def inputs(self, rows, pattern):
        for i in rows:
            text, before, _, after, names, _ = self.rows[i]
            parts = ([(text, True)], [(before, True), (after, True)])
            if pattern >= 0:
                parts = PATTERNS[pattern][1](text, before, after)
            ids, types, masks, taken = several.apply(self.kind, *parts, several.MAX_LENGTH)
            self.cut += taken > 0
            yield {"ids": ids, "types": types, "row": masks,
                   "answers": [self.kind.ids(name) for name in names]}

    def by_words(self, pattern):
        return False

    def all_scores(self, model, rows, pattern):
        """Behind a text's last candidate there is none."""
        out = np.full((len(rows), self.most), -np.inf, np.float32)
        for i, x in enumerate(self.inputs(rows, pattern)):
            each = self.scores(model, x, pattern).numpy()
            out[i, : len(each)] = each
        return out

    def judged(self, rows, scores):
        """Mean exact match and F1 of the likeliest candidates."""
        each = [scored(self.rows[i][4][int(s.argmax())], self.rows[i][5]) for i, s in zip(rows, scores)]
        return [float(x) for x in np.mean(each, 0)]


def plain(x):
    x = pet.plain(x)
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items()}
    if isinstance(x, list):
        return [plain(v) for v in x]
    return None if x == -np.inf else x


def main():
    out, draw = pathlib.Path(arguments.out), random.Random(SEED)
    kind = Kind(tokenizers.Tokenizer.from_file(str(out / "model" / "tokenizer.json")), "[MASK]", False,
                [2, 3, 3], 1)
    rows = {}
    for name, sizes in (("train", [4, 13, 2, 16, 1]), ("pool", [14, 3, 5, 7, 4]), ("test", [15, 6, 3, 9])):
        objects = [passage(draw, n, 1 + n % 2, name != "pool") for n in sizes]
        if name == "test":  # two that the scorer takes for one, and those that share a word
            objects.append(fixed(["The Band", "band"], [("sing {}", ["band"])]))
            objects.append(fixed(["The Band", "band"], [("sing {} with", ["The Band"])]))
            objects.append(fixed(["loud band", "sweet band", "eat band"],
                                 [(QUERIES[2], ["loud band"]), (QUERIES[4], ["sweet band"]),
                                  (QUERIES[1], ["eat band"])]))
            # whichever is chosen is right
            objects.append(fixed(ENTITIES[:3], [(query, ENTITIES[:3]) for query in QUERIES[:2]]))
        (out / f"record.{name}.jsonl").write_text("".join(json.dumps(o) + "\n" for o in objects))
        rows[name] = list(questions(objects))
    asked, rows["train"] = len(rows["train"]), [x for row in rows["train"] for x in to_train(row)]
    for *_, names, answers in rows["train"]:  # what is right of T is told by the number 0 alone
        assert all(not scored(n, answers)[0] or kind.ids(n) == kind.ids(answers[0]) for n in names)
    run = Run(out / "model", kind, [row for each in rows.values() for row in each])
    run.brought, run.cut, run.most = True, 0, max(len(row[4]) for row in run.rows)
    pet.LABELS = ["0", "1"]
    ends = np.cumsum([len(each) for each in rows.values()])
    sets = [list(range(end - len(each), end)) for end, each in zip(ends, rows.values())]
    members = []
    for p in range(len(PATTERNS)):
        members.append(pet.member(run, sets, (0, p, 0), [(i, 0) for i in sets[0]]))
        members[p]["accuracy"] = run.judged(sets[2], members[p]["test"])[0]
    lengths = [len(kind.ids(name)) for name in ENTITIES]
    counts = [[len(row[4]) for row in each] for each in rows.values()]
    mean = np.average([m["test"] for m in members], axis=0, weights=[m["zero_shot"] for m in members])
    exact, f1 = run.judged(sets[2], mean)
    assert asked < len(rows["train"]) and run.cut and max(counts[0]) == TRAINED < min(map(max, counts[1:]))
    assert max(lengths) == 2 and 0 < exact < f1 < 1, (lengths, exact, f1)
    print(counts, exact, f1, [(m["zero_shot"], m["losses"][:: pet.UPDATES - 1]) for m in members])
    (out / "record.yaml").write_text("\n".join([
        "# For tests/few_shot/test_record.c; make_record_fixture.py wrote it.", "task: record",
        "fields: {p: text, before: before, after: after}", "patterns:",
        *[f'  - "{text}"' for text, _ in PATTERNS]]) + "\n")
    versions = {m.__name__: m.__version__ for m in (torch, transformers, tokenizers)}
    what = {"versions": versions, "candidates": [[row[4] for row in each] for each in rows.values()],
            "members": members, "ensemble": {"accuracy": exact, "f1": f1}}
    (out / "record.json").write_text(
        json.dumps(plain(what), separators=(",", ":"), allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
