#!/usr/bin/env python3
"""Writes tests/fixtures/text/: small tokenizer.json files of every shape that the reader runs,
and what the Hugging Face library makes of hostile texts.

Each NAME.json is a tokenizer; NAME.cases.json holds {"library": versions, "cases": [{"text",
"ids", "offsets", "plain", "decoded", "skipped"}]}: ids and offsets with special tokens, ids
without, and the ids decoded with and without special tokens. Offsets count characters, as the
Python library does. classes.json says for every code point what the library takes it for, and
holds a hash of its normalisation forms. The text that the vocabulary is trained on is made here,
word by word, from a fixed stream.
"""

import argparse
import base64
import json
import os
import random
import tempfile

from train_vocabulary import train_pieces

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

MARK = "\u2581"

WORDS = """the of and to in a is that for it as was with be by on not he his but at are this have
from or had an they which one you were all her she there would their we him been has when who will
no more if out so up said what its about than into them can only other time new some could these
two may first then do any like my now over such our man me even most made after also did many off
before must well back through years where much your way down should because long each just state
those people too mister little good world make very year still see own work here men between life
being under never day same another know while last might us great old a-b against small found
since every three use without government number high public hand part place fact white house home
tokenize tokenizer tokenization piece vocabulary sentence pretraining language model transfer
reading writing understand understanding unhappiness internationalization running runner ran
quickly slowly bigger biggest walking talked talks über straße Größe können müssen für Äpfel schön
Übung garçon élève été naïve façade cœur où déjà señor niño mañana år øl 日本 日本語 東京 中文 漢字 привет
мир язык слово γλώσσα λόγος שלום עולם مرحبا العالم नमस्ते 한국어 조선""".split()

# What is replaced, and by what: a small map with every kind of rule that the big ones have.
RULES = [
    ("\t", " "),
    ("\n", " "),
    ("\r", " "),
    ("\u00a0", " "),
    ("\u3000", " "),
    ("\u200b", " "),
    ("\ufeff", " "),
    ("\u0001", ""),
    ("\u0007", ""),
    ("\u007f", ""),
    ("\u00ad", ""),
    ("½", "1\u20442"),
    ("¼", "1\u20444"),
    ("ﬁ", "fi"),
    ("ﬂ", "fl"),
    ("ﬃ", "ffi"),
    ("Ａ", "A"),
    ("ｂ", "b"),
    ("①", "1"),
    ("㈱", "(株)"),
    ("ﷺ", "صلى الله عليه وسلم"),
    ("e\u0301", "é"),
    ("a\u0308", "ä"),
    ("o\u0308", "ö"),
    ("u\u0308", "ü"),
    ("…", "..."),
    ("™", "TM"),
    ("ｶ\uff9e", "ガ"),
    ("か\u3099", "が"),
    ("²", "2"),
    ("\u212a", "K"),
    ("\u212b", "\u00c5"),
]

HOSTILE = [
    "",
    " ",
    "   ",
    "\t",
    "\n",
    "\r\n",
    "\r",
    " \t \n ",
    "\x00",
    "a\x00b",
    "\x00\x00 x",
    "the",
    " the",
    "the ",
    "  the   man  ",
    "The man, and the house.",
    "Tokenization of the world's internationalization!",
    "unhappiness",
    "x" * 130,
    "the" * 40,
    "日本語" * 20,
    "a b c d e f g",
    "1234567890 3.14 1,000",
    "e\u0301le\u0300ve",
    "n\u0303 n\u0303\u0323 q\u0323\u0307 q\u0307\u0323",
    "\u0301",
    "\u0301a",
    "a\u0308\u0301o\u0308",
    "c\u0327\u0301",
    "½ cup ¼",
    "ﬁnd the ﬂag, oﬃce",
    "Ａｂ①",
    "㈱ ﷺ",
    "x²",
    "…",
    "™",
    "K Å Å",
    "ｶ\uff9e か\u3099 が",
    "\ufb01\u0301",
    "½\u0301 ½\u0301\u0302\u0303\u0304",
    "😀 👍🏽 👩‍👩‍👧‍👦 🇩🇪🇫🇷 ❤️",
    "👨‍💻the",
    "שלום עולם the مرحبا \u200fabc\u200e",
    "नमस्ते क्षि",
    "한국어 각 \u1100\u1161\u11a8",
    "ไทย ภาษา",
    "straße STRASSE İstanbul ıI ΣΑΣ ǅ Ⅷ",
    "don't “quote” ``tick'' — dash – en",
    "<extra_id_0>",
    "a<extra_id_0>b",
    "a <extra_id_0> b",
    "<extra_id_0><extra_id_1>",
    "the <extra_id_9>. The",
    "<extra_id_1> <extra_id_10>",
    "<extra_id_",
    "</s>",
    "the</s>man",
    "<unk>",
    "<unk><unk> x",
    "<pad> the",
    "the <mask> man",
    "the   <mask>   man",
    "<mask>",
    "[MASK]x",
    "a[MASK]b",
    "<0x41><0x0A>",
    "<0xFF>",
    "▁the▁man",
    "▁",
    "▁▁",
    " ▁ ",
    "a▁ b",
    "\u2028line\u2029para\u0085next\u000b\u000c",
    "\u0001abc",
    "\u0001\u0002é",
    "a\u0001",
    "a\u00adb",
    "\u00ad",
    "\u0007\u0007the",
    "\ufeffthe",
    "the\u200bman",
    "\u00a0the\u00a0",
    "\u3000日本",
    "\ufffd",
    "\U0010ffff\U000e0001",
    "\ud7ff\ue000",
    "\u0378 unassigned",
    "WORD word Word",
    "yesterday Yesterday YESTERDAY",
    "yesterdays day",
    "day,day day",
    "the  glue  man",
    "glueglue",
    "x glue",
    "a=b+c",
    "http://example.org/a?b=c&d=%20e",
    "foo_bar __init__",
    "C++ C#",
    "٣٤ ४ Ⅳ ½ ²",
    "\u0344\u0327z",
    "ṩ s\u0323\u0307 s\u0307\u0323",
    "Å\u0323",
    "\u1e9b\u0323",
    "\u212b",
    "\ufdfa\u0301",
    "\u0958 क\u093c",
    "가\u11a8",
    "\u0f73\u0f71",
    "a\u0315\u0300\u05ae\u0062",
    "  ",
    "a  b   c    d",
    "``a''",
    "{} [] ()",
]


def t5_specials(n_sentinels):
    return ["<pad>", "</s>", "<unk>"], ["<extra_id_%d>" % k for k in reversed(range(n_sentinels))]


def train_text(seed, n):
    r = random.Random(seed)
    weights = [1.0 / (i + 5) for i in range(len(WORDS))]
    out = []
    for _ in range(n):
        words = r.choices(WORDS, weights, k=r.randint(3, 14))
        out.append(
            " ".join(w.capitalize() if r.random() < 0.1 else w for w in words)
            + r.choice([".", ",", "!", "?", "", ":"])
        )
    return out


def charsmap():
    """A small precompiled map, compiled by SentencePiece from RULES."""
    import sentencepiece as spm
    from sentencepiece import sentencepiece_model_pb2 as pb

    with tempfile.TemporaryDirectory() as d:
        with open(d + "/rules.tsv", "w", encoding="utf-8") as f:
            for a, b in RULES:
                f.write(
                    " ".join("%X" % ord(c) for c in a)
                    + "\t"
                    + " ".join("%X" % ord(c) for c in b)
                    + "\n"
                )
        with open(d + "/text", "w", encoding="utf-8") as f:
            f.write("\n".join(train_text(1, 400)))
        spm.SentencePieceTrainer.train(
            input=d + "/text",
            model_prefix=d + "/m",
            vocab_size=400,
            normalization_rule_tsv=d + "/rules.tsv",
            minloglevel=2,
            num_threads=1,
            hard_vocab_limit=False,
        )
        m = pb.ModelProto()
        with open(d + "/m.model", "rb") as f:
            m.ParseFromString(f.read())
    return base64.b64encode(m.normalizer_spec.precompiled_charsmap).decode()


def added(token, i, **flags):
    d = {
        "id": i,
        "content": token,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    }
    d.update(flags)
    return d


def template(before, after, ids):
    def one(letter, type_id):
        return {"Sequence": {"id": letter, "type_id": type_id}}

    def special(t):
        return {"SpecialToken": {"id": t, "type_id": 0}}

    single = [special(t) for t in before] + [one("A", 0)] + [special(t) for t in after]
    pair = single + [one("B", 1)] + [special(t) for t in after]
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": pair,
        "special_tokens": {t: {"id": t, "ids": [i], "tokens": [t]} for t, i in ids.items()},
    }


def metaspace(scheme="always", split=True):
    return {"type": "Metaspace", "replacement": MARK, "prepend_scheme": scheme, "split": split}


def sequence(key, *parts):
    return {"type": "Sequence", key: list(parts)}


def replace(kind, pattern, content):
    return {"type": "Replace", "pattern": {kind: pattern}, "content": content}


def tokenizer(
    normalizer,
    pre_tokenizer,
    post_processor,
    decoder,
    vocab,
    unk_id,
    added_tokens,
    byte_fallback=False,
):
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added_tokens,
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": post_processor,
        "decoder": decoder,
        "model": {
            "type": "Unigram",
            "unk_id": unk_id,
            "vocab": vocab,
            "byte_fallback": byte_fallback,
        },
    }


def t5(
    normalizer, pre_tokenizer, pieces, decoder=None, n_sentinels=11, extra=(), byte_fallback=False
):
    specials, sentinels = t5_specials(n_sentinels)
    vocab = [[s, 0.0] for s in specials]
    if byte_fallback:
        vocab += [["<0x%02X>" % b, -40.0] for b in range(256)]
    vocab += pieces
    tokens = [added(s, i) for i, s in enumerate(specials)]
    for s in sentinels:
        tokens.append(added(s, len(vocab) + len(tokens) - 3))
    for content, flags in extra:
        tokens.append(added(content, len(vocab) + len(tokens) - 3, **flags))
    return tokenizer(
        normalizer,
        pre_tokenizer,
        template([], ["</s>"], {"</s>": 1}),
        decoder or metaspace(),
        vocab,
        2,
        tokens,
        byte_fallback,
    )


def variants(charsmap64, pieces):
    """name -> tokenizer.json as a dict"""
    pre = {"type": "Precompiled", "precompiled_charsmap": charsmap64}
    words = sequence("pretokenizers", {"type": "WhitespaceSplit"}, metaspace())
    out = {
        # the three shapes of T5's file (reference: 2020 hub files, 2021 converter, late v4
        # converter)
        "t5_a": t5(pre, words, pieces),
        "t5_b": t5(
            sequence("normalizers", pre, replace("Regex", " {2,}", " ")), metaspace(), pieces
        ),
        "t5_c": t5(
            sequence(
                "normalizers",
                pre,
                {"type": "Strip", "strip_left": False, "strip_right": True},
                replace("Regex", " {2,}", MARK),
            ),
            metaspace("first"),
            pieces,
            decoder=metaspace("first"),
        ),
        "bytes": t5(
            None,
            words,
            pieces,
            decoder=sequence("decoders", {"type": "ByteFallback"}, metaspace()),
            byte_fallback=True,
        ),
    }
    vocab = (
        [["<s>", 0.0], ["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0]] + pieces + [["<mask>", 0.0]]
    )
    marks = [added(t, i) for i, t in enumerate(["<s>", "<pad>", "</s>", "<unk>"])] + [
        added("<mask>", len(vocab) - 1, lstrip=True)
    ]
    out["xlmr"] = tokenizer(
        pre, words, template(["<s>"], ["</s>"], {"<s>": 0, "</s>": 2}), metaspace(), vocab, 3, marks
    )
    vocab = [
        ["<pad>", 0.0],
        ["<unk>", 0.0],
        ["[CLS]", 0.0],
        ["[SEP]", 0.0],
        ["[MASK]", 0.0],
    ] + pieces
    marks = [added(t, i) for i, t in enumerate(["<pad>", "<unk>", "[CLS]", "[SEP]"])] + [
        added("[MASK]", 4, lstrip=True, rstrip=True)
    ]
    clean = sequence(
        "normalizers",
        replace("String", "``", '"'),
        replace("String", "''", '"'),
        {"type": "NFKD"},
        {"type": "StripAccents"},
        {"type": "Lowercase"},
        pre,
        replace("Regex", " {2,}", " "),
    )
    out["albert"] = tokenizer(
        clean,
        words,
        template(["[CLS]"], ["[SEP]"], {"[CLS]": 2, "[SEP]": 3}),
        metaspace(),
        vocab,
        1,
        marks,
    )
    extra = [
        ("yesterday", {"normalized": True, "special": False}),
        ("day", {"single_word": True, "special": False}),
        ("glue", {"lstrip": True, "rstrip": True, "special": False}),
        ("Word", {"normalized": True, "single_word": True}),
    ]
    lower = sequence(
        "normalizers",
        {"type": "Nmt"},
        {"type": "NFKC"},
        {"type": "Strip", "strip_left": True, "strip_right": True},
        {"type": "Lowercase"},
    )
    cuts = sequence(
        "pretokenizers",
        {"type": "Whitespace"},
        {"type": "Digits", "individual_digits": True},
        metaspace(),
    )
    ends = sequence(
        "decoders",
        replace("String", MARK, " "),
        {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    )
    out["added"] = t5(lower, cuts, pieces, decoder=ends, extra=extra)
    cuts = sequence(
        "pretokenizers",
        {"type": "Punctuation", "behavior": "MergedWithPrevious"},
        {"type": "Digits", "individual_digits": False},
        {
            "type": "Split",
            "pattern": {"Regex": r"[a-z]+|\s+"},
            "behavior": "Contiguous",
            "invert": False,
        },
        {
            "type": "Split",
            "pattern": {"String": "an"},
            "behavior": "MergedWithNext",
            "invert": False,
        },
    )
    out["cuts"] = t5(
        sequence(
            "normalizers",
            {"type": "NFC"},
            {"type": "Prepend", "prepend": MARK},
            replace("String", " ", MARK),
        ),
        cuts,
        pieces,
    )
    out["cuts"]["decoder"] = None
    out["forms"] = t5(
        sequence("normalizers", {"type": "NFD"}, {"type": "NFC"}, replace("Regex", r"\w\s", "<>")),
        metaspace("never", split=False),
        pieces,
    )
    return out


def cases(t, texts):
    out = []
    for text in texts:
        e = t.encode(text)
        out.append(
            {
                "text": text,
                "ids": e.ids,
                "offsets": [list(o) for o in e.offsets],
                "plain": t.encode(text, add_special_tokens=False).ids,
                "decoded": t.decode(e.ids, skip_special_tokens=False),
                "skipped": t.decode(e.ids, skip_special_tokens=True),
            }
        )
    return out


def every_character():
    return [chr(c) for c in range(1, 0x110000) if not 0xD800 <= c < 0xE000]


def as_ranges(code_points):
    out = []
    for c in code_points:
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def fnv1a(data, h=0xCBF29CE484222325):
    for b in data:
        h = ((h ^ b) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return h


BERT = [(1, 1, None, 1), (1, 1, 0, 1), (0, 0, 1, 0), (1, 0, None, 0), (0, 1, 1, 1)]


def bert_normalizer(clean, chinese, strip, lower):
    from tokenizers import normalizers as n

    strip = None if strip is None else bool(strip)
    return n.BertNormalizer(
        clean_text=bool(clean),
        handle_chinese_chars=bool(chinese),
        strip_accents=strip,
        lowercase=bool(lower),
    )


def bert_classes(chars):
    """What BERT's normalizer drops and strips, and a hash of what it makes of every character."""
    clean, strip = bert_normalizer(1, 0, 0, 0), bert_normalizer(0, 0, 1, 0)
    out = {
        "other": as_ranges(
            ord(c)
            for c in chars
            if c in "\t\n\r" or (c != "\ufffd" and clean.normalize_str("a" + c) == "a")
        ),
        "nonspacing": as_ranges(ord(c) for c in chars if strip.normalize_str(c) == ""),
        "bert": [],
    }
    for settings in BERT:
        n, h = bert_normalizer(*settings), 0xCBF29CE484222325
        for c in chars:
            marked = "x" + c + "\u0323\u302e\u0301"
            for text in (c, marked) if ord(c) < 0x30000 else (c,):
                result = n.normalize_str(text)
                if result != text:
                    h = fnv1a(result.encode(), h)
        out["bert"].append([*settings, "%016x" % h])
    return out


def classes():
    """For every code point what the library takes it for."""
    from tokenizers import normalizers as n
    from tokenizers import pre_tokenizers as p

    strip, lower, split, words = (
        n.StripAccents(),
        n.Lowercase(),
        p.WhitespaceSplit(),
        p.Whitespace(),
    )
    digits, punctuation = p.Digits(individual_digits=True), p.Punctuation("isolated")
    chars = every_character()
    spaces = {c for c in chars if len(split.pre_tokenize_str("a" + c + "b")) == 2}
    tests = {
        "mark": lambda c: strip.normalize_str(c) == "",
        "space": lambda c: c in spaces,
        "word": lambda c: c not in spaces and len(words.pre_tokenize_str("a" + c)) == 1,
        "numeric": lambda c: len(digits.pre_tokenize_str("a" + c)) == 2,
        "punctuation": lambda c: len(punctuation.pre_tokenize_str("a" + c)) == 2,
    }
    out = {name: as_ranges(ord(c) for c in chars if test(c)) for name, test in tests.items()}
    shifts = []
    for c in chars:
        low = lower.normalize_str(c)
        if len(low) != 1 or low == c:
            continue
        if shifts and shifts[-1][1] == ord(c) - 1 and shifts[-1][2] == ord(low) - ord(c):
            shifts[-1][1] = ord(c)
        else:
            shifts.append([ord(c), ord(c), ord(low) - ord(c)])
    out["lower"] = shifts
    out.update(bert_classes(chars))
    out["forms"] = {}
    for form in (n.NFC(), n.NFD(), n.NFKC(), n.NFKD()):
        h = 0xCBF29CE484222325
        for c in chars[
            : 0x30000 - 0x801
        ]:  # all assigned ones; alone, behind a mark of a high class, before marks of a low one
            for text in (c, "\ue123\u0345" + c, c + "\u0334\u0301"):
                result = form.normalize_str(text)
                if result != text:
                    h = fnv1a(result.encode(), h)
        out["forms"][type(form).__name__] = "%016x" % h
    return out


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument(
        "--out", default=os.path.join(os.path.dirname(__file__), "..", "tests", "fixtures", "text")
    )
    args = p.parse_args()
    import sentencepiece
    import tokenizers

    os.makedirs(args.out, exist_ok=True)
    versions = {"tokenizers": tokenizers.__version__, "sentencepiece": sentencepiece.__version__}
    for name, j in variants(charsmap(), train_pieces(train_text(2, 4000), 500, False)).items():
        text = json.dumps(j, ensure_ascii=False, separators=(",", ":"))
        t = tokenizers.Tokenizer.from_str(text)
        with open(os.path.join(args.out, name + ".json"), "w", encoding="utf-8") as f:
            f.write(text + "\n")
        rows = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases(t, HOSTILE))
        with open(os.path.join(args.out, name + ".cases.json"), "w", encoding="utf-8") as f:
            f.write('{"library":%s,"cases":[\n%s\n]}\n' % (json.dumps(versions), rows))
        print("%-8s %d ids, %d cases" % (name, t.get_vocab_size(), len(HOSTILE)))
    with open(os.path.join(args.out, "classes.json"), "w", encoding="utf-8") as f:
        json.dump({"library": versions, **classes()}, f, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    main()
