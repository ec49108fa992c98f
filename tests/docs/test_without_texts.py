#!/usr/bin/env python3
"""scripts/without_texts.py on documents made by hand: which go, which stay, how they are written,
and what it says of a call without a table."""

import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPT = os.path.join(HERE, "..", "..", "scripts", "without_texts.py")

# A test text beyond 60 characters, and the longest piece of another, beside a package's name.
LONG = "a program that sorts photographs by the place where each of them was taken, with maps"
SHORT = '"Maps" of caves are what'
TABLE = "section\ttext\ngraphics\t%s\nscience\t%s _ draws here\n" % (LONG, SHORT)

# Document, and whether it stays.
DOCUMENTS = [
    ("A text that has nothing to do with any.", True),
    ("It is %s and a list." % LONG, False),
    ("Begins with 60 of it: %s, and goes on otherwise." % LONG[:60], False),
    ("Begins with 59 of it: %s" % LONG[:59], True),
    ("Has what is behind the first 60: %s" % LONG[25:], True),
    # Of a text with a blank the longest piece counts, all of it, and quotes are characters.
    ("One paragraph.\n%s cavedraw draws" % SHORT, False),
    ("One paragraph.\n%s it draws here" % SHORT[:-1], True),
    ("Maps of caves are what a program draws here", True),
]


def run(*arguments):
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, timeout=60
    )


def problems(folder):
    text, table, none = (os.path.join(folder, n) for n in ("text.txt", "a.tsv", "none.tsv"))
    with open(text, "w", encoding="utf-8") as f:
        f.write("\n\n".join(d for d, _ in DOCUMENTS) + "\n")
    with open(table, "w", encoding="utf-8") as f:
        f.write(TABLE)
    with open(none, "w", encoding="utf-8") as f:
        f.write("text\tsection\nno document has this one\tmail\n")
    kept = [d for d, stays in DOCUMENTS if stays]
    done = run(text, none, table)
    if done.returncode != 0 or done.stdout.strip("\n").split("\n\n") != kept:
        yield "keeps the wrong documents, or ends with %d:\n%s" % (done.returncode, done.stdout)
    said = "%d of %d documents left out\n" % (len(DOCUMENTS) - len(kept), len(DOCUMENTS))
    if done.stderr != said:
        yield "says '%s' instead of '%s'" % (done.stderr, said)
    done = run(text, none)
    if done.stdout != "\n\n".join(d for d, _ in DOCUMENTS) + "\n":
        yield "changes documents that it keeps"
    for arguments in ((), (text,)):
        done = run(*arguments)
        if done.returncode != 1 or done.stdout or "without_texts.py TEXT TSV..." not in done.stderr:
            yield "%d arguments: ends with %d and says '%s'" % (
                len(arguments),
                done.returncode,
                done.stderr,
            )


def main():
    with tempfile.TemporaryDirectory() as folder:
        wrong = list(problems(folder))
    for what in wrong:
        print("without_texts.py", what)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
