#!/usr/bin/env python3
"""Runs the commands of the tutorials, and of README's section on PET, as they stand there.

  tutorials.py CLOZE SOURCE WORK [PYTHON]

Every block between ```sh and ``` of a page is run by bash, in the page's order, in one folder
WORK: a command that fails ends the test with its page and line. Nothing in a block is changed.
What stands in for the real thing stands in WORK before the first block:

  data/small_bert, data/minilm   the random model of experiments/quickstart, with a SOURCE.txt that
                                 scripts/fetch_small_bert.sh takes for what it has fetched already
  data/debian                    the sample in the repository, which scripts/prepare_debian.sh takes
                                 for whole sets
  cloze, first on the PATH       the program; to `cloze run FILE` it adds `--scale test` where the
                                 command names no scale

A block ```python is run by PYTHON where that has what the block imports. Other blocks show files
and outputs and must say so: ```text, ```yaml, ```json. Each page must have as many commands, and
its commands must print what is listed here, so that a page cannot become empty."""

import hashlib
import os
import re
import shutil
import subprocess
import sys

# Page, the heading of its section or None for all of it, the least number of commands, and what
# they must have printed.
PAGES = [
    (
        "docs/tutorial_reproduce_a_row.md",
        None,
        6,
        ["PET@50", "minus supervised", "66.2", "repetition on one T"],
    ),
    (
        "docs/tutorial_your_own_task.md",
        None,
        10,
        ["pattern 2:", "[MASK]", "student", '"label"', "vote_entropy"],
    ),
    ("docs/tutorial_read_a_report.md", None, 5, ["deviation_over", "abstain_for.90", "distill-"]),
    ("README.md", "## A few labelled texts", 8, ["is there already", "PET@10", "pattern 0:"]),
]
SHOWN = {"text", "yaml", "json"}


def die(what):
    sys.exit("tutorials: " + what)


def source_line(script, which):
    """What fetch_small_bert.sh wants in the first line of SOURCE.txt."""
    case = re.search(r"  %s\)\n(.*?);;" % which, script, re.S).group(1)
    facts = dict(re.findall(r'(\w+)=("[^"]*"|\S+)', case))
    facts = {k: v.strip('"') for k, v in facts.items()}
    return "%(package)s %(version)s (PyPI, %(licence)s), wheel's SHA-256 %(sha256)s" % facts


def put_model(source, work, which):
    """The random model under the name of a real one."""
    to = os.path.join(work, "data", which)
    shutil.copytree(os.path.join(source, "experiments/quickstart/random_bert"), to)
    with open(os.path.join(source, "scripts/fetch_small_bert.sh"), encoding="utf-8") as f:
        lines = [source_line(f.read(), which)]
    for name in sorted(os.listdir(to)):
        with open(os.path.join(to, name), "rb") as f:
            lines.append("%s  %s" % (hashlib.sha256(f.read()).hexdigest(), name))
    with open(os.path.join(to, "SOURCE.txt"), "w", encoding="utf-8") as f:
        f.write("\n".join(lines) + "\n")


WRAPPER = """#!/bin/bash
if [ "$1" = run ] && [[ " $* " != *" --scale "* ]]; then set -- "$@" --scale test; fi
exec "%s" "$@"
"""


def prepare(cloze, source, work):
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(os.path.join(work, "data"))
    os.makedirs(os.path.join(work, "bin"))
    for name in ("experiments", "scripts"):
        os.symlink(os.path.join(source, name), os.path.join(work, name))
    for which in ("small_bert", "minilm"):
        put_model(source, work, which)
    wrapper = os.path.join(work, "bin", "cloze")
    with open(wrapper, "w", encoding="utf-8") as f:
        f.write(WRAPPER % cloze)
    os.chmod(wrapper, 0o755)
    env = dict(os.environ, CLOZE=cloze, OMP_WAIT_POLICY="passive")
    env["PATH"] = os.path.join(work, "bin") + ":" + env["PATH"]
    for name in ("debian", "sample"):
        subprocess.run(
            ["scripts/prepare_debian.sh", "--sample", "data/" + name],
            cwd=work, env=env, check=True, stdout=subprocess.DEVNULL)
    return env


def blocks_of(text, section):
    """The fenced blocks of a page or of its SECTION: (language, line of the first, lines)."""
    found, inside, language, lines, at = [], section is None, None, [], 0
    for number, line in enumerate(text.splitlines(), 1):
        if section and language is None and line.startswith("## "):
            inside = line.strip() == section
        if not inside:
            continue
        if line.startswith("```") and language is None:
            language, lines, at = line[3:].strip(), [], number + 1
        elif line.startswith("```"):
            found.append((language, at, lines))
            language = None
        elif language is not None:
            lines.append(line)
    if language is not None:
        die("a block that begins before line %d does not end" % at)
    return found


def commands_in(lines):
    """How many commands a block has: lines that begin one and are no comment, text of a file, or
    the rest of another's."""
    n, until, goes_on = 0, None, False
    for line in lines:
        if until:
            until = None if line == until else until
            continue
        n += bool(line.strip()) and not line.startswith(("#", " ", "}")) and not goes_on
        here = re.search(r"<<'(\w+)'", line)
        until = here.group(1) if here else None
        goes_on = line.endswith("\\")
    return n


def run_block(page, at, lines, work, env):
    """Runs one block and gives what it printed."""
    script = "set -euo pipefail\n" + "\n".join(lines) + "\n"
    done = subprocess.run(
        ["bash", "-c", script], cwd=work, env=env, stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=800)
    if done.returncode:
        die("%s:%d: the block ends with %d:\n%s" % (page, at, done.returncode, done.stdout[-3000:]))
    return done.stdout


def run_python(page, at, lines, work, env, python):
    """Runs a block by PYTHON, unless that lacks what it imports; whether it ran."""
    imports = "\n".join(l for l in lines if re.match(r"(from|import) ", l))
    quiet = dict(cwd=work, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if not python or subprocess.run([python, "-c", imports], **quiet).returncode:
        print("tutorials: %s:%d: not run, this Python lacks its packages" % (page, at))
        return False
    done = subprocess.run([python, "-c", "\n".join(lines)], **quiet)
    if done.returncode:
        die("%s:%d: the block fails:\n%s" % (page, at, done.stdout[-3000:]))
    return True


def run_page(page, section, least, says, work, env, source, python):
    with open(os.path.join(source, page), encoding="utf-8") as f:
        blocks = blocks_of(f.read(), section)
    printed, n = "", 0
    for language, at, lines in blocks:
        if language == "sh":
            printed += run_block(page, at, lines, work, env)
            n += commands_in(lines)
        elif language == "python":
            run_python(page, at, lines, work, env, python)
        elif language not in SHOWN:
            die("%s:%d: a block of '%s': commands are sh, what is shown text" % (page, at, language))
    if n < least:
        die("%s has %d commands, expected %d" % (page, n, least))
    for word in says:
        if word not in printed:
            die("%s: no command has printed '%s'" % (page, word))
    print("tutorials: %s: %d commands" % (page, n))


def main():
    cloze, source, work = (os.path.abspath(p) for p in sys.argv[1:4])
    env = prepare(cloze, source, work)
    python = sys.argv[4] if len(sys.argv) > 4 else None
    for page, section, least, says in PAGES:
        run_page(page, section, least, says, work, env, source, python)


if __name__ == "__main__":
    main()
