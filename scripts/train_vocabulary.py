#!/usr/bin/env python3
"""Trains a unigram vocabulary on text files and writes it as a tokenizer.json with T5's layout.

Ids: <pad> 0, </s> 1, <unk> 2, then the pieces by falling probability, then the sentinels, so
that <extra_id_0> is the last id and <extra_id_k> is size - 1 - k. A text is followed by </s>.
The file loads in `cloze`, in `tokenizers` and in transformers (T5TokenizerFast).

Normalisation: none of the compatibility forms. T5's own file folds them (NFKC in SentencePiece's
nmt_nfkc rules: a half sign becomes "1/2", a ligature two letters), which a model can't undo when
it has to write text. Here there is no normalizer: words are what white space separates (T5's
pre-tokenizers, WhitespaceSplit and Metaspace), so decoding gives the text back with single
spaces between words and none at the ends. Characters that were too rare for the alphabet become
bytes (<0x00> .. <0xFF>, 256 ids) rather than <unk>, so nothing is lost; --no-bytes leaves them
out, as in T5's file.

The same files in the same order give the same vocabulary, byte for byte: the sample is every
k-th line, and SentencePiece, which trains the pieces (the trainer of `tokenizers` differs from
run to run in the last digits), runs on one thread.
"""

import argparse
import os
import sys

SPECIAL = ["<pad>", "</s>", "<unk>"]


def lines_of(files):
    for name in files:
        with open(name, encoding="utf-8", errors="strict") as f:
            for line in f:
                line = line.strip()
                if line:
                    yield line


def sampled(files, most):
    """Every k-th line, so that about `most` bytes remain; the whole text when it is shorter."""
    total = sum(os.path.getsize(f) for f in files)
    step = max(1, -(-total // most))
    return [line for i, line in enumerate(lines_of(files)) if i % step == 0]


def train_pieces(lines, count, byte_fallback):
    """The `count` pieces as (piece, score), by falling score. On one thread, so that the sums,
    and with them the pieces, come out the same each time."""
    import io

    import sentencepiece

    # What SentencePiece counts besides the pieces: its three special ones and the bytes.
    others = len(SPECIAL) + (256 if byte_fallback else 0)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        model_type="unigram",
        vocab_size=count + others,
        hard_vocab_limit=False,
        normalization_rule_name="identity",
        byte_fallback=byte_fallback,
        character_coverage=0.9999,
        max_sentence_length=1 << 24,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    p = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    return [(p.id_to_piece(i), p.get_score(i)) for i in range(others, p.get_piece_size())][:count]


def build(pieces, args):
    from tokenizers import (
        AddedToken,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
    )

    # Seven digits are all that a float32 has, and few enough that every reader of decimal numbers
    # gets the same double.
    pieces = [(p, round(s, 7)) for p, s in pieces]
    vocab = [(s, 0.0) for s in SPECIAL]
    if args.bytes:
        # Worse than any piece, so that a literal "<0x41>" in a text is not taken for the byte.
        worst = min(s for _, s in pieces)
        vocab += [("<0x%02X>" % b, round(worst - 100.0, 7)) for b in range(256)]
    vocab += pieces
    t = Tokenizer(models.Unigram(vocab, unk_id=2, byte_fallback=args.bytes))
    if args.lowercase:
        t.normalizer = normalizers.Lowercase()
    mark = {"replacement": "\u2581", "prepend_scheme": "always"}
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(split=True, **mark)]
    )
    t.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(**mark)])
    sentinels = ["<extra_id_%d>" % k for k in reversed(range(args.sentinels))]
    t.add_special_tokens(
        [AddedToken(s, normalized=False, special=True) for s in SPECIAL + sentinels]
    )
    t.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return t


def check(t, args):
    n = t.get_vocab_size()
    for k in range(args.sentinels):
        assert t.token_to_id("<extra_id_%d>" % k) == n - 1 - k, k
    assert [t.token_to_id(s) for s in SPECIAL] == [0, 1, 2]


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("files", nargs="+", help="UTF-8 text, one document or paragraph a line")
    p.add_argument(
        "--size",
        type=int,
        default=8192,
        help="ids in all, special tokens, bytes and sentinels included (default 8192)",
    )
    p.add_argument("--sentinels", type=int, default=100, help="how many <extra_id_k> (default 100)")
    p.add_argument("--out", required=True, help="the tokenizer.json to write")
    p.add_argument(
        "--no-bytes",
        dest="bytes",
        action="store_false",
        help="rare characters become <unk> instead of bytes",
    )
    p.add_argument("--lowercase", action="store_true", help="fold case before anything else")
    p.add_argument(
        "--most",
        type=int,
        default=8_000_000,
        help="bytes to train on; of longer texts every k-th line is taken (default 8,000,000)",
    )
    args = p.parse_args()
    count = args.size - len(SPECIAL) - args.sentinels - (256 if args.bytes else 0)
    if count < 1:
        p.error("--size %d leaves no room for pieces" % args.size)
    pieces = train_pieces(sampled(args.files, args.most), count, args.bytes)
    if len(pieces) < count:
        sys.exit(
            "train_vocabulary.py: the text is too small for --size %d: only %d pieces, so "
            "--size %d would do"
            % (args.size, len(pieces), args.size - count + len(pieces))
        )
    t = build(pieces, args)
    check(t, args)
    os.makedirs(os.path.dirname(os.path.abspath(args.out)), exist_ok=True)
    t.save(args.out + ".tmp", pretty=False)
    os.replace(args.out + ".tmp", args.out)
    print(
        "%s: %d ids, %d pieces, %d sentinels"
        % (args.out, t.get_vocab_size(), len(pieces), args.sentinels)
    )


if __name__ == "__main__":
    main()
