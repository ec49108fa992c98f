#!/usr/bin/env python3
"""Encoding speed of `cloze bench tokenize` beside the Hugging Face library's, or with
--sentencepiece beside the SentencePiece library's: one thread each, the same text and vocabulary,
in turns.

TOKENIZER is a tokenizer.json (WordPiece, BPE, Unigram), TEXT is UTF-8 or packed with xz. All encode
line by line with offsets; the ids of a sample are compared. The library's fastest way is its
opponent: batches on one thread. Prints one JSON object: MB/s of each turn by the clock on the wall
and by processor time, medians of the turns' ratios, and whether the gate (5 times the Hugging Face
library by processor time) and the goal (10) are reached; exits with 1 when ids differ.

For SentencePiece the vocabulary of a Unigram is put into a model with T5's settings (dummy prefix,
extra spaces removed, no other normalisation), and the share of equal lines is told.
"""

import argparse
import json
import lzma
import os
import statistics
import subprocess
import sys
import tempfile
import time

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

BATCH = 1000  # lines that the library takes at once
SAMPLE = 2000  # lines whose ids are compared
GATE, GOAL = 5, 10


def sentencepiece_of(path):
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2 as pb

    with open(path, encoding="utf-8") as f:
        root = json.load(f)
    if root["model"]["type"] != "Unigram":
        sys.exit("bench_tokenizer.py: %s: not a Unigram model" % path)
    kinds = pb.ModelProto.SentencePiece
    m = pb.ModelProto()
    special = {t["content"] for t in root["added_tokens"]}
    for i, (piece, score) in enumerate(root["model"]["vocab"]):
        x = m.pieces.add(piece=piece, score=score)
        byte = len(piece) == 6 and piece.startswith("<0x")
        x.type = (
            kinds.UNKNOWN
            if i == root["model"]["unk_id"]
            else kinds.CONTROL
            if piece in special
            else kinds.BYTE
            if byte
            else kinds.NORMAL
        )
    t = m.trainer_spec
    t.model_type, t.unk_id, t.bos_id, t.pad_id, t.eos_id, t.vocab_size = (
        1,
        root["model"]["unk_id"],
        -1,
        0,
        1,
        len(m.pieces),
    )
    t.byte_fallback = root["model"].get("byte_fallback", False)
    n = m.normalizer_spec
    n.name, n.add_dummy_prefix, n.remove_extra_whitespaces, n.escape_whitespaces = (
        "identity",
        True,
        True,
        True,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=m.SerializeToString())


def cloze(args, *command, text=None):
    r = subprocess.run([args.cloze, *command], input=text, capture_output=True, check=False)
    if r.returncode:
        sys.exit(r.stderr.decode())
    return r.stdout.decode()


def read(path, n):
    """The first N bytes of the text, up to the end of a line."""
    with (lzma.open if path.endswith(".xz") else open)(path, "rb") as f:
        text = f.read(n)
    return text[: text.rindex(b"\n") + 1]


def library_of(path):
    import tokenizers

    t = tokenizers.Tokenizer.from_file(path)
    t.no_truncation()
    t.no_padding()

    def encode(lines):
        for i in range(0, len(lines), BATCH):
            t.encode_batch(lines[i : i + BATCH])

    return encode, lambda line: t.encode(line).ids


def opponent_of(args):
    if not args.sentencepiece:
        return library_of(args.tokenizer)
    sp = sentencepiece_of(args.tokenizer)
    return lambda lines: sp.encode(lines, num_threads=1), sp.encode


def equal_share(args, lines, ids):
    flags = ["--no-special"] if args.sentencepiece else []
    text = "".join(x + "\n" for x in lines).encode()
    ours = cloze(args, "tokenize", args.tokenizer, "--json", *flags, text=text)
    found = [json.loads(x)["ids"] for x in ours.split("\n")[:-1]]
    return sum(a == ids(b) for a, b in zip(found, lines)) / len(lines)


def turn(args, file, lines, n, encode):
    a = json.loads(
        cloze(args, "bench", "tokenize", args.tokenizer, "--text", file, "--repeats", "1", "--json")
    )
    wall, processor = time.perf_counter(), time.process_time()
    encode(lines)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return {
        "cloze": a["mb_per_s"],
        "cloze_processor": a["mb_per_processor_s"],
        "other": n / 1e6 / wall,
        "other_processor": n / 1e6 / processor,
    }


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("tokenizer", help="a tokenizer.json")
    p.add_argument("text", help="UTF-8 text, also as .xz")
    p.add_argument("--sentencepiece", action="store_true", help="against that library (Unigram)")
    p.add_argument("--cloze", default="cloze", help="the program (default: from PATH)")
    p.add_argument("--bytes", type=int, default=50_000_000, help="of the text (default 50,000,000)")
    p.add_argument("--turns", type=int, default=3)
    args = p.parse_args()
    text = read(args.text, args.bytes)
    lines = text.decode().split("\n")[:-1]
    encode, ids = opponent_of(args)
    equal = equal_share(args, lines[:SAMPLE], ids)
    with tempfile.NamedTemporaryFile() as f:
        f.write(text)
        f.flush()
        turns = [turn(args, f.name, lines, len(text), encode) for _ in range(args.turns)]
    ratio = statistics.median(t["cloze_processor"] / t["other_processor"] for t in turns)
    print(
        json.dumps(
            {
                "tokenizer": args.tokenizer,
                "against": "sentencepiece" if args.sentencepiece else "tokenizers",
                "bytes": len(text),
                "lines": len(lines),
                "equal_share_of_%d_lines" % len(lines[:SAMPLE]): equal,
                **{
                    k + "_mb_per_s": [round(t[k], 2) for t in turns]
                    for k in ("cloze", "cloze_processor", "other", "other_processor")
                },
                "ratio": round(statistics.median(t["cloze"] / t["other"] for t in turns), 2),
                "ratio_processor": round(ratio, 2),
                **({} if args.sentencepiece else {"gate": ratio >= GATE, "goal": ratio >= GOAL}),
            }
        )
    )
    if not args.sentencepiece and equal < 1:
        sys.exit(1)


if __name__ == "__main__":
    main()
