#!/usr/bin/env python3
"""Checks that what comments and documents cite exists.

  check_citations.py [ROOT]     ROOT: the repository, by default the folder above this script

A citation is a page, `t5.md`, or a page with sections, `docs/t5.md 3.1, 3.4`, `t5.md trap 7` (its
section 0.7), `t5.md, appendix C`. It is looked for in comments of *.c *.h *.cu *.cuh *.def, CMake files,
shell, Python and YAML, and in the text of *.md. A page is looked up from the root, in docs/ and
beside the file that cites it; a section is a heading that begins with its number.

In documents also: relative links and their anchors; paths in backticks that begin with a folder of
the tree; names `cz_...` in backticks, which must occur in the source; `(3.1)` and `section 3.1` in
a page with numbered sections.

Prints what is dead as FILE:LINE: TEXT and ends with 1 when there is any. No packages, no network.
"""

import os
import re
import sys

CODE = (".c", ".h", ".cu", ".cuh", ".def")
HASH = (".cmake", ".sh", ".py", ".yaml", ".yml")
SKIPPED = {".git", ".venv", "build", "runs", "node_modules", "__pycache__"}
MADE = {"data"}  # at the root alone: runtime/data and tests/data are source
GENERATED = {"keys.md"}  # made from the program's own tables, and installed with it
MADE_UP = os.path.join("tests", "docs", "test_citations.py")  # dead citations on purpose
TREE = ("kernels", "runtime", "trainers", "experiments", "docs", "scripts", "tests", "cmake")

PAGE = re.compile(r"(?<![\w./-])((?:[\w-]+/)*[\w-]+\.md)\b")
NUMBER = r"\d{1,2}(?:\.\d{1,2})*"
AFTER = re.compile(
    r"[`)]?(?:\s*\((?=trap|appendix))?,?\s+(?:(trap)\s+(\d+)|[Aa]ppendix\s+([A-Z])\b"
    r"|§?(%s)(?![\w%%]|\.\d))" % NUMBER
)
MORE = re.compile(r"\s*(?:,|and|to)\s+§?(%s)(?![\w%%]|\.\d)" % NUMBER)


def files_of(root):
    """Paths below ROOT that may hold citations, relative to it."""
    for folder, names, files in os.walk(root):
        skipped = SKIPPED | MADE if folder == root else SKIPPED
        names[:] = sorted(n for n in names if n not in skipped and not n.startswith("build"))
        for name in sorted(files):
            path = os.path.relpath(os.path.join(folder, name), root)
            if path == MADE_UP:
                continue
            if name.endswith(CODE + HASH + (".md",)) or name in (
                "CMakeLists.txt",
                ".clang-format",
                "run",
            ):
                yield path


def blank(text):
    """TEXT with everything but line ends blanked."""
    return re.sub(r"[^\n]", " ", text)


def c_comments(text):
    """The comments of a C file; the rest is blank, so that places stay."""
    part = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|/\*.*?\*/|//[^\n]*', re.S)
    out, at = [], 0
    for m in part.finditer(text):
        out.append(blank(text[at : m.start()]))
        comment = m.group().startswith("/")
        out.append(re.sub(r"(?m)^(\s*)\*", r"\1 ", m.group()) if comment else blank(m.group()))
        at = m.end()
    return "".join(out) + blank(text[at:])


def hash_comments(text, python):
    """The comments of a file whose comments begin with #, and Python's long strings."""
    out = []
    if python:
        long = re.compile(r'"""(.*?)"""', re.S)
        at = 0
        for m in long.finditer(text):
            out += [hash_comments(text[at : m.start()], False), m.group()]
            at = m.end()
        return "".join(out) + hash_comments(text[at:], False)
    for line in text.split("\n"):
        m = re.search(r"(?:^|\s)#", line)
        out.append(" " * m.start() + line[m.start() :].replace("#", " ", 1) if m else "")
    return "\n".join(out)


def prose_of(path, text):
    """What of a file is read by people."""
    if path.endswith(CODE):
        return c_comments(text)
    if path.endswith(".md"):
        return text
    return hash_comments(text, path.endswith(".py"))


def anchor_of(heading):
    """The anchor of a heading, as GitHub makes it."""
    kept = re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", heading).strip().lower())
    return kept.replace(" ", "-")


class Page:
    """Section numbers and anchors of a document."""

    def __init__(self, text):
        body = re.sub(r"(?ms)^```.*?^```", "", text)
        headings = re.findall(r"(?m)^#+\s+(.*?)\s*$", body)
        self.anchors = {anchor_of(h) for h in headings}
        self.sections = set()
        for h in headings:
            m = re.match(r"(\d+(?:\.\d+)*)\.?(?:\s|$)|[Aa]ppendix ([A-Z])\b", h)
            if m:
                self.sections.add(m.group(1) or m.group(2))


class Check:
    def __init__(self, root):
        self.root = root
        self.dead = []
        self.texts = {}
        for path in files_of(root):
            with open(os.path.join(root, path), encoding="utf-8", errors="replace") as f:
                self.texts[path] = f.read()
        self.pages = {p: Page(t) for p, t in self.texts.items() if p.endswith(".md")}
        self.names = set()
        for path, text in self.texts.items():
            if path.endswith(CODE):
                self.names.update(re.findall(r"\bcz_\w+", text))

    def say(self, path, at, what):
        line = self.texts[path].count("\n", 0, at) + 1
        self.dead.append((path, line, what))

    def page(self, path, name):
        """The document that NAME means in PATH, or None."""
        for folder in ("", "docs", os.path.dirname(path)):
            found = os.path.normpath(os.path.join(folder, name))
            if found in self.pages:
                return found
        return None

    def sections_after(self, prose, at):
        """Sections that are cited behind a page's name, with their places."""
        m = AFTER.match(prose, at)
        if not m:
            return
        if m.group(1):
            yield m.start(2), "0." + m.group(2)
            return
        if m.group(3):
            yield m.start(3), m.group(3)
            return
        yield m.start(4), m.group(4)
        at = m.end()
        while True:
            m = MORE.match(prose, at)
            # A bare number is a section only where it counts nothing: not in "3.4, 6 tokens".
            if not m or (
                "." not in m.group(1)
                and not re.match(r"[,;:.)\]]|\s*$", prose[m.end() : m.end() + 1])
            ):
                return
            yield m.start(1), m.group(1)
            at = m.end()

    def citations(self, path, prose):
        for m in PAGE.finditer(prose):
            found = self.page(path, m.group(1))
            if not found:
                link = prose[: m.start()].endswith("](")  # links() looks for its file
                if not link and m.group(1) not in GENERATED:
                    self.say(path, m.start(), "no page %s" % m.group(1))
                continue
            for at, section in self.sections_after(prose, m.end()):
                if section not in self.pages[found].sections:
                    self.say(path, at, "%s has no section %s" % (found, section))

    def links(self, path, text):
        for m in re.finditer(r"\]\(([^)\s]+)\)", text):
            target = m.group(1)
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            found = os.path.normpath(os.path.join(os.path.dirname(path), name)) if name else path
            if not os.path.exists(os.path.join(self.root, found)):
                self.say(path, m.start(), "no file %s" % target)
            elif anchor and anchor not in self.pages.get(found, Page("")).anchors:
                self.say(path, m.start(), "%s has no heading #%s" % (found, anchor))

    def paths(self, path, text):
        for m in re.finditer(r"`([\w./-]+)`", text):
            name = m.group(1)
            if name.split("/")[0] in TREE and "/" in name:
                if not os.path.exists(os.path.join(self.root, name)):
                    self.say(path, m.start(), "no file %s" % name)
            elif re.match(r"cz_\w+$", name) and name not in self.names:
                self.say(path, m.start(), "no name %s in the source" % name)

    def own_sections(self, path, text):
        if not path.startswith("docs/") or not self.pages[path].sections:
            return
        for m in re.finditer(
            r"(?<!\w)\((\d{1,2}\.\d{1,2}(?:, \d{1,2}\.\d{1,2})*)\)|\bsection (%s)" % NUMBER, text
        ):
            for section in (m.group(1) or m.group(2)).split(", "):
                if section not in self.pages[path].sections:
                    self.say(path, m.start(), "no section %s on this page" % section)

    def run(self):
        for path, text in self.texts.items():
            self.citations(path, prose_of(path, text))
            if path.endswith(".md"):
                body = re.sub(r"(?ms)^```.*?^```|^    [^\n]*", lambda m: blank(m.group()), text)
                self.links(path, body)
                self.paths(path, body)
                self.own_sections(path, body)
        return self.dead


def main():
    if sys.argv[1:] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    if len(sys.argv) > 2 or (len(sys.argv) == 2 and sys.argv[1].startswith("-")):
        print(__doc__)
        return 2
    root = (
        sys.argv[1]
        if len(sys.argv) == 2
        else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    )
    dead = Check(os.path.abspath(root)).run()
    for path, line, what in dead:
        print("%s:%d: %s" % (path, line, what))
    if dead:
        print("%d dead citations" % len(dead))
    return 1 if dead else 0


if __name__ == "__main__":
    sys.exit(main())
