#!/usr/bin/env python3
"""Makes tests/fixtures/text/pairs.json: random small tokenizers, each with a post-processor and a
truncation, and what the Hugging Face library makes of texts and pairs with them: ids, type ids,
offsets, with and without special tokens, with special tokens that stand in the text.

    /work/torchenv/bin/python scripts/make_pair_fixtures.py [--seed N] [--out FILE]

A case without ids is one that the library refuses."""

import argparse
import json
import os
import random

ATOMS = ["a", "b", " ", "  ", "\u0120", "\u3000", "\u00e9", "\U0001f600", "<s>", "</s>", "\u00a0"]
PIECES = ["<unk>", "<s>", "</s>", "a", "b", " ", "  ", "\u0120", " a", "\u0120b", "\u0120\u0120"]
PIECES += ["a ", "b\u0120", "\u3000", "\u3000a", "\u00e9", "\u00e9 ", "\U0001f600", "ab", "\u00a0"]
MODEL = {"type": "Unigram", "unk_id": 0, "vocab": [[p, -1 - i / 8] for i, p in enumerate(PIECES)]}
FIELDS = ["single_word", "lstrip", "rstrip", "normalized"]


def added(r, i, content):
    flags = {f: r.random() < 0.3 for f in FIELDS[1:]}
    return {"id": i, "content": content, "single_word": False, **flags, "special": r.random() < 0.8}


def special(r):
    return {"SpecialToken": {"id": r.choice(["x", "y", "z"]), "type_id": r.randrange(3)}}


def template(r):
    def text(letter):
        return {"Sequence": {"id": letter, "type_id": r.randrange(3)}}

    def some():
        return [special(r) for _ in range(r.randrange(3))]

    pair = ["A", "B"] if r.random() < 0.8 else ["B", "A"]
    ids = {"x": [1], "y": [2], "z": [3, 4, 3]}
    names = {"x": ["<s>"], "y": ["</s>"], "z": ["a", "b", "a"]}
    return {
        "type": "TemplateProcessing",
        "single": some() + [text("A")] + some(),
        "pair": some() + [text(pair[0])] + some() + [text(pair[1])] + some(),
        "special_tokens": {k: {"id": k, "ids": ids[k], "tokens": names[k]} for k in ids},
    }


def byte_level(r):
    flags = {f: r.random() < 0.6 for f in ("add_prefix_space", "trim_offsets", "use_regex")}
    return {"type": "ByteLevel", **flags}


def adding(r):
    around = {"sep": ["</s>", 2], "cls": ["<s>", 1]}
    flags = {f: r.random() < 0.6 for f in ("add_prefix_space", "trim_offsets")}
    return r.choice(
        [
            {"type": "BertProcessing", **around},
            {"type": "RobertaProcessing", **around, **flags},
            template(r),
        ]
    )


def processor(r):
    kind = r.randrange(7)
    if kind == 0:
        return None
    if kind == 1:
        return byte_level(r)
    if kind < 5:
        return adding(r)
    parts = [adding(r)] + [byte_level(r) for _ in range(r.randrange(3))]
    r.shuffle(parts)
    return {"type": "Sequence", "processors": parts}


def truncation(r):
    if r.random() < 0.3:
        return None
    return {
        "direction": r.choice(["Left", "Right"]),
        "max_length": r.choice([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16]),
        "strategy": r.choice(["LongestFirst", "LongestFirst", "OnlyFirst", "OnlySecond"]),
        "stride": 0,
    }


def build(r):
    normalizer = r.choice([None, None, {"type": "NFKC"}, {"type": "Strip", "strip_left": True,
                                                         "strip_right": r.random() < 0.5}])
    fields = {
        "added_tokens": [added(r, 1, "<s>"), added(r, 2, "</s>")],
        "normalizer": normalizer,
        "post_processor": processor(r),
        "truncation": truncation(r),
    }
    whole = {"version": "1.0", **fields, "pre_tokenizer": None, "decoder": None, "model": MODEL}
    return fields, whole


def text(r):
    return "".join(r.choice(ATOMS) for _ in range(r.randrange(9)))


def encode(t, a, b, special_tokens):
    try:
        e = t.encode(a, b, add_special_tokens=special_tokens)
    except Exception:
        return None
    return [e.ids, e.type_ids, [list(o) for o in e.offsets]]


def cases(r, whole, n):
    import tokenizers

    cut = whole["truncation"]
    out = []
    for _ in range(n):
        truncate = cut is not None and r.random() < 0.7
        t = tokenizers.Tokenizer.from_str(json.dumps({**whole, "truncation": cut if truncate else
                                                      None}))
        t.encode_special_tokens = r.random() < 0.3
        a, b, special_tokens = text(r), text(r) if r.random() < 0.7 else None, r.random() < 0.8
        added_tokens = t.num_special_tokens_to_add(b is not None) if special_tokens else 0
        if truncate and cut["max_length"] < added_tokens:
            continue  # the library's subtraction goes below zero; here that is refused
        flags = [special_tokens, t.encode_special_tokens, truncate]
        out.append([a, b, flags, encode(t, a, b, special_tokens)])
    return out


def behind_special(r):
    """Offsets trimmed once special tokens stand before a text whose first token begins late."""
    import tokenizers

    trims = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
             "use_regex": True}
    rows = []
    around = {"sep": ["</s>", 2], "cls": ["<s>", 1]}
    roberta = {"type": "RobertaProcessing", **around, "trim_offsets": False,
               "add_prefix_space": False}
    for first in ({"type": "BertProcessing", **around}, roberta, template(r)):
        fields, whole = build(r)
        fields["truncation"] = None
        fields["normalizer"] = {"type": "Strip", "strip_left": True, "strip_right": False}
        fields["post_processor"] = {"type": "Sequence", "processors": [first, trims]}
        t = tokenizers.Tokenizer.from_str(json.dumps({**whole, **fields}))
        texts = [(" \u0120b", None), ("  \u0120b", " \u0120b"), ("\u3000\u0120a", "\u0120b")]
        rows.append({"fields": fields, "cases": [
            [a, b, [special_tokens, False, False], encode(t, a, b, special_tokens)]
            for a, b in texts for special_tokens in (True, False)]})
    return rows


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seed", type=int, default=11)
    p.add_argument("--out", default=os.path.join(os.path.dirname(__file__), "..", "tests",
                                                 "fixtures", "text", "pairs.json"))
    args = p.parse_args()
    import tokenizers

    r = random.Random(args.seed)
    rows = []
    for _ in range(90):
        fields, whole = build(r)
        rows.append({"fields": fields, "cases": cases(r, whole, 10)})
    rows += behind_special(r)
    with open(args.out, "w", encoding="utf-8") as f:
        f.write('{"library":"tokenizers %s","model":%s,"tokenizers":[\n' % (
            tokenizers.__version__, json.dumps(MODEL)))
        f.write(",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]}\n")
    count = sum(len(row["cases"]) for row in rows)
    refused = sum(c[3] is None for row in rows for c in row["cases"])
    print("%d tokenizers, %d cases, %d of them refused" % (len(rows), count, refused))


if __name__ == "__main__":
    main()
