#!/usr/bin/env python3
"""Encoding speed of `cloze tokenize` beside the SentencePiece library's: one thread each, the
same text and vocabulary, in turns.

The vocabulary of a Unigram tokenizer.json is put into a SentencePiece model with T5's settings
(dummy prefix, extra spaces removed, no other normalisation). Both encode line by line; the ids
are compared. Prints one JSON object: MB/s of each turn by the clock on the wall (the library's
also by processor time), the median ratio, the share of equal lines.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time


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


def cloze(args, text, *flags):
    r = subprocess.run(
        [args.cloze, "tokenize", args.tokenizer, "--no-special", *flags],
        input=text,
        capture_output=True,
        check=False,
    )
    if r.returncode:
        sys.exit(r.stderr.decode())
    return r.stdout


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("tokenizer", help="a Unigram tokenizer.json")
    p.add_argument("text", help="UTF-8 text")
    p.add_argument("--cloze", default="cloze", help="the program (default: from PATH)")
    p.add_argument("--bytes", type=int, default=8_000_000, help="of the text (default 8,000,000)")
    p.add_argument("--turns", type=int, default=5)
    args = p.parse_args()
    with open(args.text, "rb") as f:
        text = f.read(args.bytes)
    text = text[: text.rindex(b"\n") + 1]
    lines = text.decode().split("\n")[:-1]
    sp = sentencepiece_of(args.tokenizer)
    ours = [json.loads(x)["ids"] for x in cloze(args, text, "--json").decode().split("\n")[:-1]]
    equal = sum(a == sp.encode(b) for a, b in zip(ours, lines)) / len(lines)
    turns = []
    for _ in range(args.turns):
        a = json.loads(cloze(args, text, "--count"))["mb_per_s"]
        began, processor = time.perf_counter(), time.process_time()
        sp.encode(lines, num_threads=1)
        seconds, processor = time.perf_counter() - began, time.process_time() - processor
        turns.append((a, len(text) / 1e6 / seconds, len(text) / 1e6 / processor))
    print(
        json.dumps(
            {
                "bytes": len(text),
                "lines": len(lines),
                "equal_lines": equal,
                "cloze_mb_per_s": [round(a, 2) for a, _, _ in turns],
                "sentencepiece_mb_per_s": [round(b, 2) for _, b, _ in turns],
                "sentencepiece_mb_per_processor_second": [round(c, 2) for _, _, c in turns],
                "median_ratio": round(statistics.median(a / b for a, b, _ in turns), 3),
            }
        )
    )


if __name__ == "__main__":
    main()
