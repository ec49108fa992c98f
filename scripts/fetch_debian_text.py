#!/usr/bin/env python3
"""Fetches Debian's package descriptions and makes the default data sets of Cloze from them.

    scripts/fetch_debian_text.py OUT            the whole sets: 20 MB over the network
    scripts/fetch_debian_text.py OUT --sample   a sample of 3 MB, as committed under
                                                experiments/quickstart/sample

Needs a Debian machine with apt and python3, nothing else; works as root or not. The package
index goes to a folder of its own, so the machine's apt state and settings stay as they are. OUT
receives

    pretrain.txt                       paragraphs of long descriptions, one a line; a document is
                                       a package; blank lines between documents
    section.{train,dev,test}.tsv       first paragraph, package name blanked -> archive section
                                       (10 classes)
    language.{train,dev,test}.tsv      the same -> programming language (12 classes)
    pet_section.{train,test}.tsv       the two sets above for a few labelled texts and many
    pet_language.{train,test}.tsv      unlabelled ones: a header names the columns `text` and
                                       `section` or `language`, of test files `source` too; a
                                       fifth of the sources is for the test, dev's and test's
                                       among them
    summarize.{train,dev,test}.tsv     first paragraph of at least 12 words -> synopsis
    en_de.* en_fr.* {train,dev,test}   paragraph -> its translation
    en_de_synopsis.* en_fr_synopsis.*  synopsis -> its translation
    MANIFEST.json                      release, date, rows, bytes and hashes

Lines of the other .tsv files are INPUT <tab> TARGET in UTF-8 without quoting, and of dev and test
files <tab> SOURCE, the source package, by which reports know what was not drawn apart. Sets are
split by source package: its binary packages share texts. The split of a source is a hash of its
name, so it is the same in every set and after every fetch. Repeated texts are kept once. No text of
a dev or test row occurs in pretrain.txt, nor does any package of their sources; of pet_*.test rows
those of train's sources do.
"""

import argparse
import datetime
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

SECTIONS = "games science sound graphics fonts mail math database video web".split()
LANGUAGES = "python perl ruby java javascript haskell rust golang php ocaml lisp gnu-r".split()
SPLITS = {"test": 8, "dev": 4}  # percent of the source packages
FEW_TEST = 20  # percent of them in the test files of the sets for a few labelled texts
BLANK = "_"
SAMPLE_BYTES = {
    "pretrain": 1_150_000,
    "section": 420_000,
    "language": 420_000,
    "summarize": 420_000,
    "en_de": 330_000,
}  # of --sample


def die(message):
    sys.exit(f"fetch_debian_text: {message}")


# ---- getting the index
# --------------------------------------------------------------------------------------------------


def update_lists(folder):
    """Downloads the indexes into FOLDER/lists with apt, which checks their signatures."""
    for name in ("lists/partial", "cache/archives/partial"):
        os.makedirs(os.path.join(folder, name))
    if not shutil.which("apt-get"):
        die("apt-get is missing: this script needs a Debian machine")
    command = [
        "apt-get",
        "update",
        "-o",
        f"Dir::State::Lists={folder}/lists",
        "-o",
        f"Dir::Cache={folder}/cache",
        "-o",
        "Acquire::Languages=en,de,fr",
        "-o",
        "Acquire::Retries=2",
        "-o",
        "Acquire::http::Timeout=30",
        "-o",
        "APT::Update::Error-Mode=any",
    ]
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    if not any(n.endswith("InRelease") for n in os.listdir(f"{folder}/lists")):
        die(
            "apt-get update brought nothing (no network?), existing files are left alone; "
            f"it said:\n{done.stdout.strip()}"
        )


def find_release(lists):
    """The path prefix and facts of the machine's own Debian release among the downloaded ones."""
    found = []
    for name in sorted(os.listdir(lists)):
        if not name.endswith("_InRelease"):
            continue
        with open(f"{lists}/{name}", encoding="utf-8") as f:
            facts = dict(
                re.findall(r"^(Origin|Label|Codename|Version|Date): (.*)$", f.read(), re.M)
            )
        if (
            facts.get("Origin") == "Debian"
            and facts.get("Label") == "Debian"
            and "-" not in facts.get("Codename", "-")
        ):
            found.append((name[: -len("InRelease")], facts))
    if not found:
        die("the package sources of this machine name no Debian release")
    with open("/etc/os-release", encoding="utf-8") as f:
        here = re.search(r"^VERSION_CODENAME=(.*)$", f.read(), re.M)
    return next((x for x in found if here and x[1]["Codename"] == here.group(1)), found[0])


def read_stanzas(lists, prefix, pattern):
    """Stanzas of the one downloaded index whose name matches PATTERN, as dicts; continuation
    lines keep their leading space."""
    names = [
        n
        for n in os.listdir(lists)
        if n.startswith(prefix) and re.search(pattern, n[len(prefix) :])
    ]
    if not names:
        die(
            f"apt brought no index matching {pattern} (mirror or network trouble), "
            "existing files are left alone"
        )
    done = subprocess.run(
        ["/usr/lib/apt/apt-helper", "cat-file", f"{lists}/{names[0]}"],
        stdout=subprocess.PIPE,
        check=True,
    )
    for stanza in done.stdout.decode("utf-8", "replace").split("\n\n"):
        fields = re.findall(r"^([A-Za-z0-9-]+):[ ]?(.*(?:\n[ \t].*)*)", stanza, re.M)
        if fields:
            yield dict(fields)


# ---- texts
# --------------------------------------------------------------------------------------------------


def clean(text):
    return " ".join(text.split())


def normal(text):
    """What two texts must share to count as the same."""
    return re.sub(r"[\W\d_]+", " ", text.lower()).strip()


def parse_description(field):
    """Synopsis and blocks of a Description field. A block lies between ' .' lines and is (prose,
    verbatim): lines set off by more spaces are lists."""
    synopsis, _, rest = field.partition("\n")
    blocks = []
    for block in re.split(r"\n[ \t]*\.[ \t]*(?=\n|$)", "\n" + rest):
        lines = [line for line in block.split("\n") if line.strip()]
        if lines:
            blocks.append(
                (
                    clean(" ".join(x for x in lines if not x.startswith("  "))),
                    any(x.startswith("  ") for x in lines),
                )
            )
    return clean(synopsis), blocks


def is_prose(text):
    letters = sum(c.isalpha() or c == " " for c in text)
    return len(text.split()) >= 8 and letters >= 0.85 * len(text)


def blank_name(text, package, source):
    names = sorted({package, source}, key=len, reverse=True)
    pattern = "|".join(re.escape(n) for n in names)
    return re.sub(rf"(?<![\w-])(?:{pattern})(?![\w-])", BLANK, text, flags=re.I)


def hash_of(text):
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def place_of(source):
    return hash_of("split " + source) % 100


def split_of(source):
    place = place_of(source)
    for name, percent in SPLITS.items():
        if place < percent:
            return name
        place -= percent
    return "train"


def read_packages(lists, prefix):
    """Packages in the order of (source, name), each with what the sets need."""
    texts = {lang: {} for lang in ("en", "de", "fr")}
    for lang, table in texts.items():
        for s in read_stanzas(lists, prefix, rf"main_i18n_Translation-{lang}(\.\w+)?$"):
            table.setdefault(
                s.get("Description-md5"), parse_description(s.get(f"Description-{lang}", ""))
            )
    packages = {}
    for s in read_stanzas(lists, prefix, r"main_binary-\w+_Packages(\.\w+)?$"):
        md5 = s.get("Description-md5")
        if md5 not in texts["en"]:
            continue
        source = s.get("Source", s["Package"]).split()[0]
        packages[s["Package"]] = {
            "name": s["Package"],
            "source": source,
            "section": s.get("Section", ""),
            "split": split_of(source),
            **{lang: table.get(md5) for lang, table in texts.items()},
        }
    return sorted(packages.values(), key=lambda p: (p["source"], p["name"]))


# ---- sets
# --------------------------------------------------------------------------------------------------


def labelled(packages, labels):
    for p in packages:
        blocks = p["en"][1]
        if p["section"] in labels and blocks and len(blocks[0][0].split()) >= 4:
            yield p, blank_name(blocks[0][0], p["name"], p["source"]), p["section"]


def summaries(packages):
    for p in packages:
        synopsis, blocks = p["en"]
        if synopsis and blocks and len(blocks[0][0].split()) >= 12:
            yield p, blocks[0][0], synopsis


def translated(lang, ours, theirs):
    """True for a text that was translated: DDTP marks open paragraphs <trans>, and an unchanged
    one teaches nothing."""
    return ours and theirs and "<trans" not in theirs and normal(ours) != normal(theirs)


def paragraph_pairs(packages, lang):
    for p in packages:
        if not p[lang] or len(p[lang][1]) != len(p["en"][1]):
            continue
        for (ours, listed), (theirs, also) in zip(p["en"][1], p[lang][1]):
            if not listed and not also and translated(lang, ours, theirs):
                yield p, ours, theirs


def synopsis_pairs(packages, lang):
    for p in packages:
        if p[lang] and translated(lang, p["en"][0], p[lang][0]):
            yield p, p["en"][0], p[lang][0]


def split_rows(rows):
    """Rows with repeated inputs dropped, by split: input, target, source package."""
    seen, out = set(), {"train": [], "dev": [], "test": []}
    for p, text, target in rows:
        key = normal(text)
        if key and key not in seen:
            seen.add(key)
            out[p["split"]].append((text, target, p["source"]))
    return out


def few_rows(splits):
    """The rows of a labelled set, train's in their order and then dev's and test's, split anew."""
    out = {"train": [], "test": []}
    for text, target, source in (row for split in splits.values() for row in split):
        out["test" if place_of(source) < FEW_TEST else "train"].append((text, target, source))
    return out


def pretraining(packages):
    """Documents: lists of paragraphs. Held-out sources are left out, and so are paragraphs that
    they share with others."""
    seen = {normal(b) for p in packages if p["split"] != "train" for b, _ in p["en"][1]}
    for p in packages:
        if p["split"] != "train":
            continue
        document = []
        for text, _ in p["en"][1]:
            key = normal(text)
            if is_prose(text) and key not in seen:
                seen.add(key)
                document.append(text)
        if document:
            yield document


def make_sets(packages):
    sets = {
        "section": split_rows(labelled(packages, SECTIONS)),
        "language": split_rows(labelled(packages, LANGUAGES)),
        "summarize": split_rows(summaries(packages)),
    }
    for lang in ("de", "fr"):
        sets[f"en_{lang}"] = split_rows(paragraph_pairs(packages, lang))
        sets[f"en_{lang}_synopsis"] = split_rows(synopsis_pairs(packages, lang))
    return list(pretraining(packages)), sets


def text_of_row(row):
    return "\t".join(row[:2])


def smallest(rows, text_of, budget):
    """The rows with the smallest hashes that fit into BUDGET bytes, in their old order."""
    keep = set()
    for i in sorted(range(len(rows)), key=lambda i: hash_of(text_of(rows[i]))):
        budget -= len(text_of(rows[i]).encode()) + 2
        if budget < 0:
            break
        keep.add(i)
    return [r for i, r in enumerate(rows) if i in keep]


def sample(documents, sets):
    small = {}
    for name, splits in sets.items():
        if name in SAMPLE_BYTES:
            part = {"train": 0.7, "dev": 0.1, "test": 0.2}
            small[name] = {
                s: smallest(rows, text_of_row, int(SAMPLE_BYTES[name] * part[s]))
                for s, rows in splits.items()
            }
    return smallest(documents, "\n".join, SAMPLE_BYTES["pretrain"]), small


# ---- writing
# --------------------------------------------------------------------------------------------------


def write_all(out, work, documents, sets, facts):
    """Writes every file aside in WORK, then moves them to OUT, the manifest last."""
    contents = {"pretrain.txt": "\n".join("".join(p + "\n" for p in d) for d in documents)}
    rows = {"pretrain.txt": len(documents)}
    for name, splits in sets.items():
        for split, pairs in splits.items():
            width = 2 if split == "train" else 3  # nothing is scored on train
            lines = ["\t".join(row[:width]) + "\n" for row in pairs]
            contents[f"{name}.{split}.tsv"] = "".join(lines)
            rows[f"{name}.{split}.tsv"] = len(pairs)
    for label in ("section", "language") if not facts["sample"] else ():
        for split, pairs in few_rows(sets[label]).items():
            columns = ("text", label, "source")[: 2 if split == "train" else 3]
            lines = ["\t".join(row[: len(columns)]) + "\n" for row in [columns, *pairs]]
            contents[f"pet_{label}.{split}.tsv"] = "".join(lines)
            rows[f"pet_{label}.{split}.tsv"] = len(pairs)
    files = {}
    for name, text in contents.items():
        if not text:
            die(
                f"{name} would be empty: the index is not what this script expects; "
                "existing files are left alone"
            )
        data = text.encode()
        files[name] = {
            "rows": rows[name],
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        with open(f"{work}/{name}", "wb") as f:
            f.write(data)
    with open(f"{work}/MANIFEST.json", "w", encoding="utf-8") as f:
        json.dump({**facts, "files": files}, f, indent=1)
        f.write("\n")
    for name in [*contents, "MANIFEST.json"]:
        os.replace(f"{work}/{name}", f"{out}/{name}")
    return files


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", help="folder to write to; created when missing")
    parser.add_argument(
        "--sample", action="store_true", help="write a small deterministic sample, at most 3 MB"
    )
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)
    work = os.path.abspath(tempfile.mkdtemp(prefix=".fetch-", dir=args.out))
    os.chmod(work, 0o755)  # apt, run as root, reads it as another user
    try:
        update_lists(work)
        prefix, release = find_release(f"{work}/lists")
        packages = read_packages(f"{work}/lists", prefix)
        documents, sets = make_sets(packages)
        if args.sample:
            documents, sets = sample(documents, sets)
        facts = {
            "release": release,
            "fetched": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
            "packages": len(packages),
            "split_percent": SPLITS,
            "split_by": "source package",
            "sample": args.sample,
        }
        for name, f in write_all(args.out, work, documents, sets, facts).items():
            print(f"{name:28} {f['rows']:8} rows {f['bytes']:12} bytes")
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
