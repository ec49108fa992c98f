#!/usr/bin/env python3
"""Writes to tests/fixtures/text/ what make_tokenizer_fixtures.py does for Unigram, for byte pair
encoding: small tokenizers of every shape that the reader runs, trained here, and what the Hugging
Face library makes of hostile texts; letters and numbers of its regular expressions for every code
point. The library's trainer numbers the characters of
words with a prefix in the order of a hash table, so bpe_words is another one each time.
"""

import argparse
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import make_tokenizer_fixtures as base  # noqa: E402

TEXTS = [
    "it's we'll they've I'm he'd don't you're IT'S WE'LL",
    "'s't're've'm'll'd'x'l'r'",
    " 's  't\n'll",
    "a\u00a0\u00a0b \u00a0 c\u2003d\u3000\u3000e",
    "x  \n\n  y\t\tz ",
    "  leading",
    "trailing  ",
    "12345 3.14 ½²Ⅷ 1a2b a1 ٣٤x",
    "!!! ?! -- ...a",
    "<|endoftext|>",
    "a <|endoftext|> b<|endoftext|>",
    "a<|endoftext|>b<|endoftext|>éz",
    "the   <mask>, <mask>the",
    "\u00e9\u0301 日本語x ЖЖ한",
    "éléphant ététhe naïvely",
    "\u180e \u200b\u2060",
    "🙂🙂 👩‍👩‍👧‍👦!",
    "\U00010d40\U000105c0 \U0002ebf0",
    "the" * 30 + " " * 40 + "man" * 20,
    "ababababababababababababababababababababababababababababab",
]


def byte_characters():
    from tokenizers import pre_tokenizers as p

    return sorted(p.ByteLevel.alphabet())


def train(texts, size, special=(), pre_tokenizer=None, **options):
    """A BPE of about SIZE tokens as (vocabulary, merges); byte-level unless there is a
    PRE_TOKENIZER."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    kept = {k: v for k, v in options.items() if k != "alphabet"}
    t = Tokenizer(models.BPE(**kept))
    t.pre_tokenizer = pre_tokenizer or pre_tokenizers.ByteLevel(add_prefix_space=False)
    affixes = {k: v for k, v in kept.items() if k != "unk_token"}
    alphabet = options.get("alphabet", byte_characters() if not pre_tokenizer else [])
    t.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=list(special),
            initial_alphabet=alphabet,
            show_progress=False,
            **affixes,
        ),
    )
    model = json.loads(t.to_str())["model"]
    return model["vocab"], [tuple(m) if isinstance(m, list) else m for m in model["merges"]]


def bpe(vocab, merges, **options):
    m = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": vocab,
        "merges": merges,
    }
    m.update(options)
    return m


def whole(model, added, normalizer=None, pre_tokenizer=None, post_processor=None, decoder=None):
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": post_processor,
        "decoder": decoder,
        "model": model,
    }


def byte_level(prefix=False, trim=True, regex=True):
    return {
        "type": "ByteLevel",
        "add_prefix_space": prefix,
        "trim_offsets": trim,
        "use_regex": regex,
    }


def without(vocab, merges, lost):
    """The vocabulary without tokens that hold a character of LOST, ids closed up."""
    kept = [t for t in sorted(vocab, key=vocab.get) if not set(t) & set(lost)]
    pairs = [m if isinstance(m, tuple) else tuple(m.split(" ")) for m in merges]
    return (
        {t: i for i, t in enumerate(kept)},
        [(a, b) for a, b in pairs if not set(a + b) & set(lost)],
    )


def strings(merges):
    return [m if isinstance(m, str) else " ".join(m) for m in merges]


def byte_variants(texts):
    vocab, merges = train(texts, 560, ["<|endoftext|>"])
    end = [base.added("<|endoftext|>", 0)]
    out = {
        "gpt2": whole(
            bpe(vocab, strings(merges), continuing_subword_prefix="", end_of_word_suffix=""),
            end,
            pre_tokenizer=byte_level(),
            post_processor=byte_level(prefix=True, trim=False),
            decoder=byte_level(),
        )
    }
    # some bytes have no character: they are left out, and what follows moves up
    few, pairs = without(vocab, merges, ["Ċ", "Ã", "z", "0"])
    out["gpt2_gaps"] = whole(
        bpe(few, pairs),
        [base.added("<|endoftext|>", 0)],
        pre_tokenizer=byte_level(prefix=True),
        post_processor=byte_level(prefix=True),
        decoder=byte_level(),
    )
    # another place than the last, and tokens taken whole
    out["gpt2_cut"] = whole(
        bpe(vocab, merges, ignore_merges=True),
        end,
        normalizer={"type": "NFC"},
        pre_tokenizer=base.sequence(
            "pretokenizers", byte_level(), {"type": "Digits", "individual_digits": True}
        ),
        decoder=byte_level(),
    )
    out["gpt2_whole"] = whole(
        bpe(vocab, merges[: len(merges) // 2], ignore_merges=True),
        end,
        pre_tokenizer=base.sequence(
            "pretokenizers",
            {
                "type": "Split",
                "pattern": {"Regex": r"\p{N}{1,3}|\s+"},
                "behavior": "Isolated",
                "invert": False,
            },
            byte_level(regex=False),
        ),
        decoder=byte_level(),
    )
    out["byte_normal"] = whole(
        bpe(few, pairs, unk_token="<|endoftext|>", fuse_unk=True),
        [],
        normalizer=base.sequence("normalizers", {"type": "NFKC"}, {"type": "ByteLevel"}),
        pre_tokenizer={
            "type": "Split",
            "pattern": {"String": "Ġ"},
            "behavior": "MergedWithNext",
            "invert": False,
        },
        decoder=byte_level(),
    )
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    vocab, merges = train(texts, 560, special)
    vocab["<mask>"] = len(vocab)
    marks = [base.added(t, i, normalized=True) for i, t in enumerate(special)]
    marks.append(base.added("<mask>", len(vocab) - 1, lstrip=True))
    out["roberta"] = whole(
        bpe(vocab, merges, continuing_subword_prefix="", end_of_word_suffix=""),
        marks,
        pre_tokenizer=byte_level(),
        post_processor={
            "type": "RobertaProcessing",
            "sep": ["</s>", 2],
            "cls": ["<s>", 0],
            "trim_offsets": True,
            "add_prefix_space": False,
        },
        decoder=byte_level(),
    )
    del out["roberta"]["model"]["type"]  # as files of before 2020
    return out


def word_variants(texts):
    from tokenizers import pre_tokenizers

    vocab, merges = train(
        texts,
        420,
        ["<unk>"],
        pre_tokenizers.Whitespace(),
        unk_token="<unk>",
        continuing_subword_prefix="##",
        end_of_word_suffix="</w>",
    )
    out = {
        "bpe_words": whole(
            bpe(
                vocab,
                merges,
                unk_token="<unk>",
                continuing_subword_prefix="##",
                end_of_word_suffix="</w>",
            ),
            [base.added("<unk>", 0)],
            normalizer={"type": "Lowercase"},
            pre_tokenizer={"type": "Whitespace"},
            decoder={"type": "BPEDecoder", "suffix": "</w>"},
        )
    }
    vocab, merges = train(
        [base.MARK + t.replace(" ", base.MARK) for t in texts],
        400,
        ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % b for b in range(256) if b != 0xE2],
        pre_tokenizers.Metaspace(),
        alphabet=[],
        unk_token="<unk>",
    )
    out["bpe_fallback"] = whole(
        bpe(vocab, merges, unk_token="<unk>", fuse_unk=False, byte_fallback=True),
        [base.added(t, i) for i, t in enumerate(["<unk>", "<s>", "</s>"])],
        normalizer=base.sequence(
            "normalizers",
            {"type": "Prepend", "prepend": base.MARK},
            base.replace("String", " ", base.MARK),
        ),
        post_processor=base.template(["<s>"], [], {"<s>": 1}),
        decoder=base.sequence(
            "decoders",
            base.replace("String", base.MARK, " "),
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ),
    )
    return out


def expression_classes():
    """What the library's expression of GPT-2 takes every code point for."""
    from tokenizers import pre_tokenizers as p

    words = p.ByteLevel(add_prefix_space=False)
    tests = {"letter": "a", "number": "1", "other": "!"}
    found = {name: [] for name in [*tests, "space"]}
    for c in base.every_character():
        for name, before in tests.items():
            if len(words.pre_tokenize_str(before + c)) == 1:
                found[name].append(ord(c))
                break
        else:
            found["space"].append(ord(c))
    del found["other"]
    return {name: base.as_ranges(list_) for name, list_ in found.items()}


def write(out, name, versions, j, texts):
    import tokenizers

    text = json.dumps(j, ensure_ascii=False, separators=(",", ":"))
    t = tokenizers.Tokenizer.from_str(text)
    with open(os.path.join(out, name + ".json"), "w", encoding="utf-8") as f:
        f.write(text + "\n")
    rows = ",\n".join(json.dumps(c, separators=(",", ":")) for c in base.cases(t, texts))
    with open(os.path.join(out, name + ".cases.json"), "w", encoding="utf-8") as f:
        f.write('{"library":%s,"cases":[\n%s\n]}\n' % (json.dumps(versions), rows))
    print("%-12s %d ids, %d cases" % (name, t.get_vocab_size(), len(texts)))


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument(
        "--out",
        default=os.path.join(os.path.dirname(__file__), "..", "..", "tests", "fixtures", "text"),
    )
    args = p.parse_args()
    import tokenizers

    versions = {"tokenizers": tokenizers.__version__}
    texts = base.train_text(5, 4000)
    for name, j in {**byte_variants(texts), **word_variants(texts)}.items():
        write(args.out, name, versions, j, base.HOSTILE + TEXTS)
    with open(os.path.join(args.out, "gpt2_classes.json"), "w", encoding="utf-8") as f:
        json.dump({"library": versions, **expression_classes()}, f, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    main()
