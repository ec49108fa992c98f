#!/usr/bin/env python3
"""Makes tests/fixtures/text/bert.json: WordPiece and WordLevel tokenizers as BERT's files have them
and with random settings, and what the Hugging Face library makes of hostile texts and pairs with
them: ids, type ids, offsets, the text decoded.

    /work/torchenv/bin/python scripts/make_bert_fixtures.py [--seed N] [--out FILE]

The vocabulary is trained here, on generated words and on the hostile texts' own characters. The
file has the form of pairs.json (make_pair_fixtures.py), with the decoded text behind each case, and
random ids decoded."""

import argparse
import json
import os
import random

from make_pair_fixtures import truncation
from make_tokenizer_fixtures import HOSTILE, train_text

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
POOLS = [
    "abcdefgh ABC .,'!?-",
    "\u00e9\u00c5\u0130I\u0131\u00df\u1e9e\u01c5\u2126\u212a\u212b\ufb01\u023a\u2c65",
    "\u03a3\u03c3\u03c2\u0391\u0399\u1fbc\u03b0\u0390 ",
    "\u0410\u0431\u0419\u0439\u0301 \u0457",
    "\u05d0\u05b8\u05bc\ufb2a\u0627\u064b\u0651\u0622\u06d6\u200f ",
    "\u0915\u094d\u0937\u093f\u0958\u0929\u0967 ",
    "\u0e01\u0e33\u0e48\u0e34 \u0f71\u0f73\u0f80\u1734\u1714",
    "\u4e2d\u3400\uf900\U00020000\U0002b820\U0002b920\U0002f800\u3042\uff21\uac00\u11a8\u1100\u1161",
    "\u0300\u0301\u0327\u0323\u0315\u0344\u093c\u3099\u302e\u1d165\u20dd\u0345\u05b0\u1e000",
    "\u0000\u0001\t\n\r\u000b\u000c\u0085\u00a0\u00ad\u200b\u200d\u2028\ufeff\ufffd\ue000\u0378\u180e",
    "\u2e52\u2e43\u166d\u3002\u00a1\u00b7\u2019\u201c$+<=>^`|~\u20ac\u00a3\u2042",
    "\U0001f600\U0001f468\u200d\U0001f469\ufe0f\U0001f1e9\U0001f1ea\u2764\U0001d15e\U0001d6a8\U0001e900",
]


def hostile(r):
    if r.random() < 0.15:
        return "".join(r.choice(POOLS[0][:8]) for _ in range(r.choice([9, 20, 99, 100, 101, 130])))
    pools = r.sample(POOLS, r.randrange(1, 4))
    out = "".join(r.choice(r.choice(pools)) for _ in range(r.randrange(1, 24)))
    return out if r.random() < 0.7 else out + r.choice(["[MASK]", " [CLS]x", "[mask]", " [SEP] "])


def vocabulary():
    """A small one, trained: frequent words, pieces of words, every character that is used."""
    import tokenizers
    from tokenizers import models, normalizers, pre_tokenizers, trainers

    t = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer(lowercase=True)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=900, special_tokens=SPECIALS,
                                        show_progress=False, limit_alphabet=420)
    t.train_from_iterator(train_text(3, 3000) + HOSTILE * 3 + POOLS * 5, trainer)
    words = sorted(t.get_vocab().items(), key=lambda x: x[1])
    names = [w for w, _ in words] + ["The", "##MAN", "Yes", "\u00e9", "##\u00e9", "I", "##\u0307"]
    return {w: i for i, w in enumerate(dict.fromkeys(names))}


def special(i):
    return {"id": i, "content": SPECIALS[i], "single_word": False, "lstrip": False,
            "rstrip": False, "normalized": False, "special": True}


def bert_template():
    def one(name, kind, t):
        return {kind: {"id": name, "type_id": t}}

    single = [one("[CLS]", "SpecialToken", 0), one("A", "Sequence", 0),
              one("[SEP]", "SpecialToken", 0)]
    pair = single + [one("B", "Sequence", 1), one("[SEP]", "SpecialToken", 1)]
    tokens = {s: {"id": s, "ids": [i], "tokens": [s]} for s, i in [("[CLS]", 2), ("[SEP]", 3)]}
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens}


def bert(clean, chinese, strip, lower, **more):
    return {
        "truncation": None,
        "added_tokens": [special(i) for i in range(5)],
        "normalizer": {"type": "BertNormalizer", "clean_text": clean,
                       "handle_chinese_chars": chinese, "strip_accents": strip,
                       "lowercase": lower},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": bert_template(),
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        **more,
    }


def small_model(r):
    """A model of its own: another prefix or none, a short limit, words alone."""
    names = SPECIALS + list("abcdefgh") + [a + b for a in "abc" for b in "abcd"]
    if r.random() < 0.25:
        return {"type": "WordLevel", "unk_token": "[UNK]", "vocab": {w: i for i, w in
                                                                    enumerate(names)}}
    prefix = r.choice(["##", "@", "", "\u00e9"])
    names += [prefix + c for c in "abcdefg"] + [prefix + "ab", prefix + "\u0301", "e\u0301"]
    names = [w for w in dict.fromkeys(names) if w]
    return {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": prefix,
            "max_input_chars_per_word": r.choice([0, 3, 19, 20, 100]),
            "vocab": {w: i for i, w in enumerate(names)}}


def random_bert(r):
    fields = bert(r.random() < 0.7, r.random() < 0.7, r.choice([None, True, False]),
                  r.random() < 0.6, truncation=truncation(r),
                  decoder={"type": "WordPiece", "prefix": r.choice(["##", "@", ""]),
                           "cleanup": r.random() < 0.5})
    around = {"sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
    if r.random() < 0.3:
        fields["post_processor"] = {"type": "BertProcessing", **around}
    if r.random() < 0.3:
        fields["model"] = small_model(r)
    return fields


def case(t, a, b, flags):
    t.encode_special_tokens = flags[1]
    try:
        e = t.encode(a, b, add_special_tokens=flags[0])
    except Exception:
        return [a, b, flags, None, None]
    offsets = [list(o) for o in e.offsets]
    decoded = t.decode(e.ids, skip_special_tokens=False)
    return [a, b, flags, [e.ids, e.type_ids, offsets], decoded]


def open_tokenizer(fields, model, truncate):
    import tokenizers

    whole = {"version": "1.0", "model": model, **fields}
    if not truncate:
        whole["truncation"] = None
    return tokenizers.Tokenizer.from_str(json.dumps(whole))


def random_cases(r, fields, model, n):
    cut, out = fields["truncation"], []
    for _ in range(n):
        truncate = cut is not None and r.random() < 0.7
        t = open_tokenizer(fields, model, truncate)
        flags = [r.random() < 0.8, r.random() < 0.3, truncate]
        b = hostile(r) if r.random() < 0.5 else None
        if truncate and cut["max_length"] < (3 if b is not None else 2) * flags[0]:
            continue  # the library's subtraction goes below zero; here that is refused
        out.append(case(t, hostile(r), b, flags))
    return out


def decodes(r, t):
    """Lists of ids and their texts, some of which begin with what continues a word."""
    size, out = t.get_vocab_size(), []
    for _ in range(6):
        ids = [r.randrange(size) for _ in range(r.randrange(6))]
        out.append([ids, t.decode(ids, skip_special_tokens=False)])
    return out


def at_the_limit(model):
    """Words of two-byte characters around the greatest length."""
    fields = bert(False, False, False, False)
    fields["model"] = {**model, "max_input_chars_per_word": 3,
                       "vocab": {**{s: i for i, s in enumerate(SPECIALS)}, "\u00e9": 5,
                                 "##\u00e9": 6}}
    t = open_tokenizer(fields, model, False)
    texts = ["\u00e9" * n for n in range(1, 6)]
    return {"fields": fields, "cases": [case(t, x, None, [True, False, False]) for x in texts]}


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seed", type=int, default=11)
    p.add_argument("--out", default=os.path.join(os.path.dirname(__file__), "..", "tests",
                                                 "fixtures", "text", "bert.json"))
    args = p.parse_args()
    import tokenizers

    r = random.Random(args.seed)
    model = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
             "max_input_chars_per_word": 100, "vocab": vocabulary()}
    rows = []
    for settings in [(True, True, None, True), (True, True, None, False),
                     (True, True, False, True), (False, False, True, False)]:
        fields = bert(*settings)
        t = open_tokenizer(fields, model, False)
        texts = HOSTILE + [hostile(r) for _ in range(20)] + ["a" * 400, "\u0301" * 30, "\0a\0"]
        rows.append({"fields": fields, "cases": [case(t, x, None, [True, False, False]) for x in
                                                 texts]})
    for _ in range(50):
        fields = random_bert(r)
        rows.append({"fields": fields, "cases": random_cases(r, fields, model, 8)})
    for row in rows:
        row["decodes"] = decodes(r, open_tokenizer(row["fields"], model, False))
    rows.append(at_the_limit(model))
    with open(args.out, "w", encoding="utf-8") as f:
        f.write('{"library":"tokenizers %s","model":%s,"tokenizers":[\n' % (
            tokenizers.__version__, json.dumps(model, ensure_ascii=False, separators=(",", ":"))))
        f.write(",\n".join(json.dumps(x, separators=(",", ":")) for x in rows) + "\n]}\n")
    count = sum(len(x["cases"]) for x in rows)
    print("%d tokenizers, %d cases" % (len(rows), count))


if __name__ == "__main__":
    main()
