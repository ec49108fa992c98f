"""The check of citations against a made-up tree: every dead one is found with its line, and no
living one is."""

import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
CHECK = os.path.join(HERE, "..", "..", "scripts", "check_citations.py")

PAGE = """# A page

## 0. Traps

### 0.7 A trap

## 3. A section

### 3.1 One inside

## Appendix C. Vectors
"""

# File, text, and the citations of it that are dead: (line, a part of the message).
FILES = [
    ("docs/page.md", PAGE, []),
    (
        "kernels/alive.c",
        """/* page.md 3.1, docs/page.md 3 and 3.1; (page.md
 * 3.1) page.md trap 7, docs/page.md, appendix C. page.md 3. A sentence; page.md 3.1, 512 tokens. */
int cz_alive; // docs/page.md 0.7
const char *text = "nowhere.md 9.9"; /* a string is no comment */
""",
        [],
    ),
    (
        "kernels/dead.h",
        """/* page.md 3.2
 * (docs/page.md
 * 4.1) */
int x; // other.md 1
/* page.md 3.1, 3.3 and page.md trap 8, page.md, appendix D */
""",
        [(1, "3.2"), (3, "4.1"), (4, "other.md"), (5, "3.3"), (5, "0.8"), (5, "section D")],
    ),
    ("kernels/ops.def", "X(a) /* page.md 7 */\n", [(1, "section 7")]),
    ("cmake/a.cmake", "set(x keys.md) # page.md 5\n", [(1, "section 5")]),
    (
        "scripts/a.py",
        '"""gone.md"""\nx = "none.md"  # page.md 6\n',
        [(1, "gone.md"), (2, "section 6")],
    ),
    ("scripts/a.sh", "cat lost.md # page.md 8.8\n", [(1, "8.8")]),
    ("experiments/a.yaml", "a: b.md # page.md 3.9\n", [(1, "3.9")]),
    (
        "README.md",
        """# Start

[page](docs/page.md) 3.1, [there](docs/page.md#31-one-inside), [web](https://example.org/x.md)

[page](docs/page.md) 3.4, [not there](docs/lost.md), [no heading](docs/page.md#no)

`kernels/alive.c` and `cz_alive`, not `kernels/lost.c` or `cz_lost`.

    cat lost.txt in `kernels/example.c`
""",
        [(5, "3.4"), (5, "docs/lost.md"), (5, "#no"), (7, "kernels/lost.c"), (7, "cz_lost")],
    ),
    (
        "docs/other/second.md",
        "# Second\n\n## 1. One\n\nSee (1.1), section 2, section 1.\n",
        [(5, "1.1"), (5, "section 2")],
    ),
    ("build/skipped.c", "/* page.md 9.9 */\n", []),
]


def run(files):
    """What the check prints of a tree of FILES, and its exit code."""
    with tempfile.TemporaryDirectory() as root:
        for name, text, _ in files:
            os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
            with open(os.path.join(root, name), "w", encoding="utf-8") as f:
                f.write(text)
        done = subprocess.run(
            [sys.executable, CHECK, root], stdout=subprocess.PIPE, universal_newlines=True
        )
        return done.stdout.splitlines(), done.returncode


def main():
    alive = [f for f in FILES if not f[2]]
    lines, code = run(alive)
    assert not lines and code == 0, lines
    lines, code = run(FILES)
    assert code == 1
    for name, _, dead in FILES:
        found = [line for line in lines if line.startswith(name + ":")]
        assert len(found) == len(dead), (name, found)
        for line, part in dead:
            assert any(f.startswith("%s:%d: " % (name, line)) and part in f for f in found), (
                name,
                line,
                part,
                found,
            )


if __name__ == "__main__":
    main()
