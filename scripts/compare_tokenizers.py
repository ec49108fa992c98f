#!/usr/bin/env python3
"""Compares `cloze tokenize` with the Hugging Face library line by line: ids and offsets of each
line, and ids, offsets and type ids of pairs made of neighbouring lines.

    /work/torchenv/bin/python scripts/compare_tokenizers.py TOKENIZER TEXT... [--megabytes N]

TOKENIZER is a tokenizer.json or a folder with one; each TEXT a file, one packed with xz, or a
folder of compiled translations (/usr/share/locale/ru), whose texts are read. Lines are what stands
between newlines; those that are not UTF-8 are left out. Prints how many megabytes
agreed; exits with 1 at the first line that does not, and shows it."""

import argparse
import gettext
import glob
import itertools
import json
import lzma
import os
import subprocess
import sys
import tempfile

os.environ.setdefault("RAYON_NUM_THREADS", "1")

CHUNK = 2000  # lines a call


def translations(folder):
    """What the programs of the machine say in one language."""
    for path in sorted(glob.glob(os.path.join(folder, "**", "*.mo"), recursive=True)):
        try:
            with open(path, "rb") as f:
                catalogue = gettext.GNUTranslations(f)._catalog
        except (OSError, UnicodeDecodeError, IndexError, ValueError):  # no catalogue
            continue
        for said in catalogue.values():
            yield from (x.encode() + b"\n" for x in str(said).split("\n"))


def raw_lines(path):
    if os.path.isdir(path):
        yield from translations(path)
        return
    with (lzma.open if path.endswith(".xz") else open)(path, "rb") as f:
        yield from f


def lines_of(path, limit):
    """The lines of PATH, up to LIMIT bytes."""
    taken = 0
    for raw in raw_lines(path):
        taken += len(raw)
        if taken > limit:
            return
        try:
            yield raw.removesuffix(b"\n").decode()
        except UnicodeDecodeError:
            pass


def library(path):
    file = os.path.join(path, "tokenizer.json") if os.path.isdir(path) else path
    import tokenizers

    t = tokenizers.Tokenizer.from_file(file)
    t.no_truncation()
    t.no_padding()
    return t


def ours(program, path, lines, *flags):
    """One object a line of LINES."""
    with tempfile.TemporaryFile() as f:
        f.write("".join(x + "\n" for x in lines).encode())
        f.seek(0)
        done = subprocess.run([program, "tokenize", path, "--json", *flags], stdin=f,
                              capture_output=True)
    if done.returncode != 0:
        sys.exit("cloze tokenize: " + done.stderr.decode())
    return [json.loads(x) for x in done.stdout.splitlines()]


def differs(want, got, pair):
    if want.ids != got["ids"] or [list(o) for o in want.offsets] != got["offsets"]:
        return True
    return pair and want.type_ids != got["type_ids"]


def compare(t, args, lines, pair):
    texts = lines
    if pair:
        clean = [x.replace("\t", " ") for x in lines]
        texts = list(zip(clean, clean[1:]))
    sent = ["\t".join(x) for x in texts] if pair else texts
    got = ours(args.program, args.tokenizer, sent, *(["--pair"] if pair else []))
    want = t.encode_batch(texts)
    if len(want) != len(got):
        sys.exit("%d lines, %d answers" % (len(want), len(got)))
    for text, w, g in zip(texts, want, got):
        if differs(w, g, pair):
            print("text:    %r" % (text,))
            print("library: %s" % json.dumps({"ids": w.ids, "offsets": w.offsets,
                                              "type_ids": w.type_ids}))
            print("cloze:   %s" % json.dumps(g))
            sys.exit(1)


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("tokenizer")
    p.add_argument("texts", nargs="+")
    p.add_argument("--megabytes", type=float, default=1000, help="of each text")
    p.add_argument("--program", default="build/release/bin/cloze")
    args = p.parse_args()
    t = library(args.tokenizer)
    total = 0
    for path in args.texts:
        count = size = 0
        lines = lines_of(path, args.megabytes * 1e6)
        while chunk := list(itertools.islice(lines, CHUNK)):
            compare(t, args, chunk, False)
            if len(chunk) > 1:
                compare(t, args, chunk, True)
            count += len(chunk)
            size += sum(len(x.encode()) + 1 for x in chunk)
        total += size
        print("%s: %d lines, %.2f MB equal, alone and as pairs" % (path, count, size / 1e6),
              flush=True)
    import tokenizers

    print("tokenizers %s: %.2f MB equal" % (tokenizers.__version__, total / 1e6))


if __name__ == "__main__":
    main()
