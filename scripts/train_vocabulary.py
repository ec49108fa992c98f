#!/usr/bin/env python3
"""Trains a unigram vocabulary on text files and writes it as a tokenizer.json with T5's layout.

Ids: <pad> 0, </s> 1, <unk> 2, then the pieces by falling probability, then the sentinels, so that <extra_id_0> is the last id and <extra_id_k> is
size - 1 - k. A text is followed by </s>. The file loads in `cloze`, in `tokenizers` and in transformers (T5TokenizerFast).

Normalisation: none of the compatibility forms. T5's own file folds them (NFKC in SentencePiece's nmt_nfkc rules: a half sign becomes "1/2", a ligature
two letters), which a model can't undo when it has to write text. Here there is no normalizer: words are what white space separates (T5's pre-tokenizers,
WhitespaceSplit and Metaspace), so decoding gives the text back with single spaces between words and none at the ends. Characters that were too rare for the alphabet
become bytes (<0x00> .. <0xFF>, 256 ids) rather than <unk>, so nothing is lost; --no-bytes leaves them out, as in T5's file.

The same files in the same order give the same vocabulary, byte for byte: lines are counted by a stable rule, and the trainer runs on one thread.
"""

import argparse
import json
import os
import sys

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

MARK = "\u2581"
SPECIAL = ["<pad>", "</s>", "<unk>"]


def lines_of(files):
    for name in files:
        with open(name, encoding="utf-8", errors="strict") as f:
            for line in f:
                line = line.strip()
                if line:
                    yield line


def sampled(files, most):
    """Every k-th line, so that about `most` characters remain; the whole text when it is shorter."""
    total = sum(os.path.getsize(f) for f in files)
    step = max(1, -(-total // most))
    return [line for i, line in enumerate(lines_of(files)) if i % step == 0]


def parts(lowercase):
    from tokenizers import decoders, normalizers, pre_tokenizers

    mark = pre_tokenizers.Metaspace(replacement=MARK, prepend_scheme="always", split=True)
    return (
        normalizers.Lowercase() if lowercase else None,
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), mark]),
        decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(replacement=MARK, prepend_scheme="always")]),
    )


def train_pieces(lines, count, args):
    """(piece, score) by falling score. Single characters of the alphabet always have a piece."""
    from tokenizers import Tokenizer, models, trainers

    t = Tokenizer(models.Unigram())
    normalizer, t.pre_tokenizer, _ = parts(args.lowercase)
    if normalizer:
        t.normalizer = normalizer
    trainer = trainers.UnigramTrainer(
        vocab_size=count + 1, special_tokens=[], unk_token="<unk>", shrinking_factor=0.75, n_sub_iterations=2,
        max_piece_length=16, show_progress=args.progress,
    )
    t.train_from_iterator(lines, trainer)
    vocab = json.loads(t.to_str())["model"]["vocab"]
    # Ten digits: enough for any score, and few enough that every reader of decimal numbers gets the same double.
    pieces = [(p, round(s, 10)) for p, s in vocab if p not in SPECIAL]
    pieces.sort(key=lambda x: (-x[1], x[0]))
    return pieces[:count]


def build(pieces, args):
    from tokenizers import AddedToken, Tokenizer, models, processors

    normalizer, pre_tokenizer, decoder = parts(args.lowercase)
    worst = min(s for _, s in pieces)
    vocab = [(s, 0.0) for s in SPECIAL]
    if args.bytes:
        # Worse than any piece, so that a literal "<0x41>" in a text is not taken for the byte.
        vocab += [("<0x%02X>" % b, round(worst - 20.0, 10)) for b in range(256)]
    vocab += pieces
    sentinels = ["<extra_id_%d>" % k for k in reversed(range(args.sentinels))]
    t = Tokenizer(models.Unigram(vocab, unk_id=2, byte_fallback=args.bytes))
    t.pre_tokenizer, t.decoder = pre_tokenizer, decoder
    if normalizer:
        t.normalizer = normalizer
    t.add_special_tokens([AddedToken(s, normalized=False, special=True) for s in SPECIAL + sentinels])
    t.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    return t


def check(t, args):
    n = t.get_vocab_size()
    for k in range(args.sentinels):
        assert t.token_to_id("<extra_id_%d>" % k) == n - 1 - k, k
    assert [t.token_to_id(s) for s in SPECIAL] == [0, 1, 2]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("files", nargs="+", help="UTF-8 text, one document or paragraph a line")
    p.add_argument("--size", type=int, default=8192, help="ids in all, special tokens, bytes and sentinels included (default 8192)")
    p.add_argument("--sentinels", type=int, default=100, help="how many <extra_id_k> (default 100)")
    p.add_argument("--out", required=True, help="the tokenizer.json to write")
    p.add_argument("--no-bytes", dest="bytes", action="store_false", help="rare characters become <unk> instead of bytes")
    p.add_argument("--lowercase", action="store_true")
    p.add_argument("--most", type=int, default=16_000_000, help="characters to train on; of longer texts every k-th line is taken (default 16,000,000)")
    p.add_argument("--progress", action="store_true", help="show the trainer's bars")
    args = p.parse_args()
    count = args.size - len(SPECIAL) - args.sentinels - (256 if args.bytes else 0)
    if count < 1:
        p.error("--size %d leaves no room for pieces" % args.size)
    pieces = train_pieces(sampled(args.files, args.most), count, args)
    if len(pieces) < count:
        sys.exit("train_vocabulary.py: the text is too small for --size %d: only %d pieces, so --size %d would do"
                 % (args.size, len(pieces), args.size - count + len(pieces)))
    t = build(pieces, args)
    check(t, args)
    os.makedirs(os.path.dirname(os.path.abspath(args.out)), exist_ok=True)
    t.save(args.out + ".tmp")
    os.replace(args.out + ".tmp", args.out)
    print("%s: %d ids, %d pieces, %d sentinels" % (args.out, t.get_vocab_size(), len(pieces), args.sentinels))


if __name__ == "__main__":
    main()
