#!/usr/bin/env python3
"""Leaves out documents that hold a test text: `scripts/without_texts.py TEXT TSV... > OUT`.

TEXT has documents between blank lines, as pretrain.txt of scripts/prepare_debian.sh; each TSV has a
header with a column `text`, whose texts have `_` where a package's name stood. A document goes when
it holds the longest piece between such blanks of any of them, or its first 60 characters where
that is longer. A model that a table judges on these texts may then be trained on the rest. Says on
standard error how many went."""

import csv
import sys

SHOWN = 60  # characters that two texts share by chance too seldom to matter


def pieces(paths):
    found = set()
    for path in paths:
        with open(path, encoding="utf-8", newline="") as f:
            for row in csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE):
                piece = max(row["text"].split("_"), key=len).strip()[:SHOWN]
                if piece:
                    found.add(piece)
    return found


def main():
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(__doc__)
        return
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    wanted = pieces(sys.argv[2:])
    lengths = sorted({len(p) for p in wanted})
    with open(sys.argv[1], encoding="utf-8") as f:
        documents = f.read().strip("\n").split("\n\n")
    kept = []
    for text in documents:
        ends = range(len(text))
        if not any(text[i : i + n] in wanted for n in lengths for i in ends):
            kept.append(text)
    sys.stdout.write("\n\n".join(kept) + "\n")
    print(f"{len(documents) - len(kept)} of {len(documents)} documents left out", file=sys.stderr)


if __name__ == "__main__":
    main()
