#!/usr/bin/env python3
"""Makes tests/fixtures/pet/wsc.*: records of WSC's form, and members that learn to write what a pronoun
refers to, by Hugging Face's BERT in float64.

    /work/torchenv/bin/python scripts/make_wsc_fixture.py [OUT]

OUT, tests/fixtures/pet, has the model of make_pet_fixture.py, whose optimizer these members have at a higher rate.
Written from docs/pet.md 3.3: texts go through the model one at a time, and what it writes is decoded by
the tokenizers library. How many surplus masks a text has is the program's draw, from its definition.
Needs torch, transformers, tokenizers, numpy."""

import argparse
import json
import pathlib
import random
import re
import struct

arguments = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
arguments.add_argument("out", nargs="?", default="tests/fixtures/pet", metavar="OUT")
arguments = arguments.parse_args()  # before packages that may be missing

import cloze_random
import make_pet_fixture as pet
import numpy as np
import tokenizers
import torch
import transformers
from make_prompt_fixtures import MASK, Kind, apply
from pet_loop import batches, key_of, train

SEED, BATCH, SIZE_T, PAD, UPDATES, RATE = 11, 4, 7, 0, 50, 1e-2
PATTERNS = [
    ("{a*} || about {p|inline} : {mask:6} .",
     lambda a, p: ([(a, True)], [f"about {p} :"] + [MASK] * 6 + ["."])),
    ("{mask:7} is {p} ? {a*}", lambda a, p: ([MASK] * 7 + ["is", p, "?", (a, True)], None)),
]
NOUNS = ["the band", "band", "the loud band", "a gamer", "the cook", "soup", "sweet band", "drum"]


def records(draw, n, labels):
    for i in range(n):
        noun = draw.choice(NOUNS[:3] + NOUNS)
        text = f"{noun} is {draw.choice(pet.COMMON)} {draw.choice(pet.THEMES[i % 3])} and"
        word = len(text.split())
        text += " it is " + " ".join(draw.choice(pet.THEMES[1]) for _ in range(draw.randrange(1, 9)))
        yield {"text": text, "label": labels(i), "idx": i, "target": {
            "span1_index": 0, "span1_text": noun, "span2_index": word, "span2_text": "it"}}


def row_of(record):
    """The text with its pronoun between stars, the pronoun, the target, the class."""
    t = record["target"]
    words = record["text"].split()
    words[t["span2_index"]] = f"*{t['span2_text']}*"
    return " ".join(words), t["span2_text"], t["span1_text"], int(record["label"])


def same(output, target):
    a, b = (set(re.findall("[a-z]+", x.lower())) for x in (output, target))
    return a <= b or b <= a


def surplus(row, pattern):
    normal = "".join(" ".join(f.lower().split()) + "\0" for f in row[:3])
    key = cloze_random.hash64(struct.pack("<Q", cloze_random.hash64(normal.encode())), pet.SEED)
    return cloze_random.Stream(key, "surplus masks", pattern, 0).below(4)


def prompt(kind, row, pattern, masks):
    """With so many of the pattern's masks."""
    ids, types, places, taken = apply(kind, *PATTERNS[pattern][1](*row[:2]), pet.MAX_LENGTH)
    gone = places[masks:]
    kept = [i for i in range(len(ids)) if i not in gone]
    return [ids[i] for i in kept], [types[i] for i in kept], places[:masks], taken


def logits(model, ids, types):
    return model(input_ids=torch.tensor([ids]), token_type_ids=torch.tensor([types])).logits[0]


def write(model, kind, row, pattern):
    """The likeliest token of the mask that the model is surest of, until no mask is left."""
    target = kind.ids(row[2])
    ids, types, left, _ = prompt(kind, row, pattern, len(target) + 1)
    places = list(left)
    while left:
        with torch.no_grad():
            p = torch.softmax(logits(model, ids, types), -1)
        place = max(left, key=lambda i: float(p[i].max()))
        ids[place] = int(p[place].argmax())
        left.remove(place)
    return [ids[i] for i in places]


def scores(model, kind, rows, pattern):
    texts = [kind.t.decode(write(model, kind, row, pattern), skip_special_tokens=True) for row in rows]
    print(pattern, list(zip(texts, [row[2] for row in rows])))
    return [float(x) for text, row in zip(texts, rows)
            for x in ([0, 1] if same(text, row[2]) else [1, 0])]


def member(kind, folder, pattern, sets):
    model = transformers.BertForMaskedLM.from_pretrained(folder).double().eval()
    texts = []
    for row in sets["labelled"]:
        target = kind.ids(row[2])
        n = surplus(row, pattern)
        texts.append((prompt(kind, row, pattern, len(target) + n), target + [PAD] * n))
    drawn = batches(len(texts), BATCH, key_of(pet.SEED, 0, pattern, 0))

    def loss():
        batch = [texts[i] for _, i in next(drawn)]
        each = [torch.nn.functional.cross_entropy(logits(model, ids, types)[places],
                                                  torch.tensor(wanted), reduction="sum")
                for (ids, types, places, _), wanted in batch]
        return sum(each) / sum(len(wanted) for _, wanted in batch)

    before = scores(model, kind, sets["labelled"], pattern)
    out = train(model, RATE, UPDATES, loss)
    out["zero_shot"] = float(np.mean(before[1::2]))
    out["surplus"] = [len(wanted) - len(kind.ids(row[2]))
                      for (_, wanted), row in zip(texts, sets["labelled"])]
    assert any(taken for (_, _, _, taken), _ in texts)
    return {**out, **{name: scores(model, kind, rows, pattern) for name, rows in sets.items()}}


def main():
    out, draw = pathlib.Path(arguments.out), random.Random(SEED)
    tokenizer = tokenizers.Tokenizer.from_file(str(out / "model" / "tokenizer.json"))
    kind = Kind(tokenizer, "[MASK]", False, [2, 3, 3], 1)
    files = {"train": list(records(draw, 13, lambda i: i % 4 != 1)),
             "test": list(records(draw, 10, lambda i: i % 2 == 0))}
    for name, objects in files.items():
        (out / f"wsc.{name}.jsonl").write_text("".join(json.dumps(o) + "\n" for o in objects))
    right = [row_of(o) for o in files["train"] if o["label"]]
    order = list(range(len(right)))
    cloze_random.Stream(pet.SEED, "draw of T", 0, 0).shuffle(order)
    t = sorted(order[:SIZE_T])
    sets = {"labelled": [right[i] for i in t],
            "unlabelled": [row for i, row in enumerate(right) if i not in t],
            "test": [row_of(o) for o in files["test"]]}
    assert len({row[:3] for row in right + sets["test"]}) == len(right) + len(sets["test"])
    members = [member(kind, out / "model", p, sets) for p in range(len(PATTERNS))]
    for m in members:
        gold = [row[3] for row in sets["test"]]
        m["accuracy"] = float(np.mean([int(x) == g for x, g in zip(m["test"][1::2], gold)]))
        assert 0 < sum(m["test"][1::2]) < len(gold)  # it writes targets, and other things
    assert len({n for m in members for n in m["surplus"]}) == 4
    print([(m["zero_shot"], m["accuracy"], m["losses"][:: UPDATES - 1]) for m in members])
    (out / "wsc.yaml").write_text("\n".join([
        "# For tests/few_shot/test_wsc.c; make_wsc_fixture.py wrote it.", "task: wsc",
        "fields: {a: text, p: pronoun, t: target}", "patterns:",
        *[f'  - "{text}"' for text, _ in PATTERNS]]) + "\n")
    versions = {m.__name__: m.__version__ for m in (torch, transformers, tokenizers)}
    (out / "wsc.json").write_text(json.dumps(pet.plain({"versions": versions, "members": members}),
                                             separators=(",", ":"), allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
