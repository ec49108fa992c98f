#!/usr/bin/env python3
"""Writes tests/fixtures/text/added_spans.json: small random tokenizers whose added tokens want
the same blanks, and what the Hugging Face library makes of texts full of them.

  make_added_fixtures.py [--out FILE] [--tokenizers N] [--texts N] [--seed N]

The file holds {"library": version, "vocabulary": [[piece, score], ...], "tokenizers": [{"fields":
the members of tokenizer.json beside the model, "cases": [[text, ids, offsets], ...]}, ...]}. Where
the library itself fails, since its slice of the text ends before it begins, ids and offsets are
null. Offsets count characters.
"""

import argparse
import json
import os
import random

VOCABULARY = [["<unk>", 0], ["a", -1], ["b", -1.5], ["A", -2], [" ", -3], ["\u2581", -3], ["ab", -2]]
CONTENTS = ["A", "b", " ", "  ", "ab", "a b", " a", "b ", "\u2581", "AA", "A ", "x", "\u00e9", "\t", "aA"]
BLANKS = ["A", " ", "  ", "\t", "b ", " a", "\u2581"]  # of which every second tokenizer has some
NORMALIZERS = [
    None,
    None,
    {"type": "Lowercase"},
    {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
    {"type": "Replace", "pattern": {"String": "  "}, "content": " "},
    {"type": "Replace", "pattern": {"String": "b"}, "content": ""},
    {"type": "Replace", "pattern": {"String": "a"}, "content": "  "},
    {"type": "Strip", "strip_left": True, "strip_right": True},
    {"type": "Prepend", "prepend": "\u2581"},
]
PRETOKENIZERS = [
    None,
    None,
    {"type": "Whitespace"},
    {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True},
]


def fields(draw, hostile):
    """Members of a tokenizer.json: up to five added tokens of random flags, and what stands
    around them; HOSTILE ones want blanks."""
    tokens, size = [], len(VOCABULARY)
    known = [piece for piece, _ in VOCABULARY]
    contents = BLANKS if hostile else CONTENTS
    for content in draw.sample(contents, draw.randint(2 if hostile else 1, 5)):
        id_ = known.index(content) if content in known else size
        size += id_ == size
        strips = 0.75 if hostile else 0.5
        flags = {
            "single_word": draw.random() < (0.1 if hostile else 0.3),
            "lstrip": draw.random() < strips,
            "rstrip": draw.random() < strips,
            "normalized": draw.random() < 0.5,
            "special": draw.random() < 0.3,
        }
        tokens.append({"id": id_, "content": content, **flags})
    return {
        "added_tokens": sorted(tokens, key=lambda t: t["id"]),
        "normalizer": draw.choice(NORMALIZERS),
        "pre_tokenizer": draw.choice(PRETOKENIZERS),
    }


def whole(members):
    """The tokenizer.json of MEMBERS."""
    return {
        "version": "1.0",
        **members,
        "model": {"type": "Unigram", "unk_id": 0, "vocab": VOCABULARY},
    }


def text(draw):
    return "".join(draw.choice("   \u2581AAabbx \u00e9\t\u3000") for _ in range(draw.randint(0, 9)))


def cases(tokenizer, texts):
    for t in texts:
        try:
            e = tokenizer.encode(t)
            yield [t, e.ids, [list(o) for o in e.offsets]]
        except BaseException:  # a panic of the library's is no Exception
            yield [t, None, None]


def make(count, texts, seed):
    """Pairs of members and cases, of COUNT tokenizers that the library reads."""
    import tokenizers

    draw = random.Random(seed)
    while count:
        members = fields(draw, count % 2 == 0)
        t = tokenizers.Tokenizer.from_str(json.dumps(whole(members)))
        normal = [
            t.normalizer.normalize_str(a["content"]) if t.normalizer else a["content"]
            for a in members["added_tokens"]
            if a["normalized"]
        ]
        if "" in normal or len(set(normal)) < len(normal):
            continue  # refused by Cloze; on an empty one the library never ends
        own = ["A  b", "A b", "A", " ", ""] + [text(draw) for _ in range(texts - 5)]
        yield members, list(cases(t, own))
        count -= 1


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = os.path.join(os.path.dirname(__file__), "../tests/fixtures/text/added_spans.json")
    p.add_argument("--out", default=default)
    p.add_argument("--tokenizers", type=int, default=120)
    p.add_argument("--texts", type=int, default=16)
    p.add_argument("--seed", type=int, default=8)
    args = p.parse_args()
    import tokenizers

    made = [
        json.dumps({"fields": m, "cases": c}, separators=(",", ":"))
        for m, c in make(args.tokenizers, args.texts, args.seed)
    ]
    with open(args.out, "w", encoding="utf-8") as f:
        head = {"library": "tokenizers " + tokenizers.__version__, "vocabulary": VOCABULARY}
        f.write(json.dumps(head, separators=(",", ":"))[:-1])
        f.write(',"tokenizers":[\n%s\n]}\n' % ",\n".join(made))
    print("%s: %d tokenizers" % (args.out, len(made)))


if __name__ == "__main__":
    main()
