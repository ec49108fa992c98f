#!/usr/bin/env python3
"""Whether tests notice that a kernel lacks a barrier.

    tests/emulator/mutate.py [--build build/release] --all [--cases N]
    tests/emulator/mutate.py [--build ...] --kernel FILE.cu... [--ops norm,...] [--cases N]
    tests/emulator/mutate.py [--build ...] --kernel FILE.cu --program TARGET

Each __syncthreads(), __syncwarp(...) and cz_copy_wait<...>() of the file, and of the headers of
kernels that it includes, is left out, one at a time, and the tests must fail then: those of the
checking build (device emu:check), which also sees wrong numbers, in the orders of threads 0, 1
and 2. Tests are test_ops with --ops (by default the op whose folder the file is in) on the first
N cases of each (by default all fixed ones), without those that take long; or TARGET, a test program
of the build that is made of FILE.cu and reads CZ_EMULATOR_ORDER. --all: every kernel of the emulated module; a header's
barrier has to be missed by one of the kernels that are looked at and include it.

Prints a line for each barrier and fails when one survives. A barrier of which it is proved that
nothing changes without it says so in a comment at its line or just above:

    /* mutant: survives, WHY */

and it is a failure, too, when tests do notice the lack of such a one. The file is compiled once,
as build/release/compile_commands.json says, with a choice in place of each barrier.
"""
import argparse
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Where names of includes begin, and what of it is the language itself.
INCLUDED = {"kernels": ROOT / "kernels", "emulator": ROOT / "tests" / "emulator"}
LANGUAGE = {"device.cuh", "device_ptx.cuh", "language.h"}
BARRIERS = [("__syncthreads", r"__syncthreads\s*\("), ("__syncwarp", r"__syncwarp\s*\("),
            ("cz_copy_wait", r"cz_copy_wait\s*<[^<>]*>\s*\(")]
SURVIVES = re.compile(r"mutant:\s+survives,\s+\S", re.S)
COMMENT_OR_STRING = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.S)
CHOICE = """#include <stdlib.h>
static const int emu_chosen = getenv("CZ_MUTANT") ? atoi(getenv("CZ_MUTANT")) : -1;
/* A function that the checks do not look into: no kernel of a card may read the variable. */
static __attribute__((noinline, unused, no_sanitize_thread)) int emu_mutant() {
  return emu_chosen;
}
"""
ORDERS = ["0", "1", "2"]
SECONDS = 60  # of one run, whatever it does without a barrier
NO_END = "no end"
MESSAGE = re.compile(r"block \([\d,]+\) thread \([\d,]+\), (.*?)(?:\)? in the kernel .*)?$", re.M)


@dataclasses.dataclass
class Barrier:
    path: pathlib.Path
    begin: int
    end: int
    line: int
    call: str
    spared: bool  # a comment says that it survives
    verdict: str = ""  # how tests noticed, or ""

    def place(self):
        return f"{self.path.relative_to(ROOT)}:{self.line}"


# ---- the source ----


def end_of_call(code, at):
    """Behind the parenthesis that closes the one before AT."""
    depth = 1
    while depth:
        depth += {"(": 1, ")": -1}.get(code[at], 0)
        at += 1
    return at


def spared_lines(text):
    """Lines of comments that spare a barrier, and those just below."""
    lines = set()
    for m in COMMENT_OR_STRING.finditer(text):
        if SURVIVES.search(m.group()):
            first = text.count("\n", 0, m.start()) + 1
            lines.update(range(first, first + m.group().count("\n") + 2))
    return lines


def barriers_of(path):
    text = path.read_text()
    code = COMMENT_OR_STRING.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)
    spared = spared_lines(text)
    found = []
    for _, pattern in BARRIERS:
        for m in re.finditer(r"\b" + pattern, code):
            end = end_of_call(code, m.end())
            line = code.count("\n", 0, m.start()) + 1
            found.append(Barrier(path, m.start(), end, line, text[m.start():end], line in spared))
    return sorted(found, key=lambda b: b.begin)


def headers_of(path, seen=None):
    """Headers of kernels that the file includes, one way or another."""
    seen = {} if seen is None else seen
    for name in re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(), re.M):
        root, _, rest = name.partition("/")
        header = INCLUDED.get(root, ROOT) / rest
        if header.suffix == ".cuh" and header.name not in LANGUAGE and header not in seen:
            seen[header] = name
            headers_of(header, seen)
    return seen


def write_choices(path, barriers, numbers, to):
    """The file with a choice in place of each barrier; lines stay where they are."""
    text = path.read_text()
    for b in reversed([b for b in barriers if b.path == path]):
        choice = f"(emu_mutant() == {numbers[id(b)]} ? (void)0 : {b.call})"
        text = text[:b.begin] + choice + text[b.end:]
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(text)


# ---- the build ----


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        sys.exit(f"mutate.py: {shlex.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


class Build:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder).resolve()
        commands = self.folder / "compile_commands.json"
        if not commands.exists():
            sys.exit(f"mutate.py: there is no {commands}: a build folder is wanted, as --build")
        self.commands = json.loads(commands.read_text())

    def compile_of(self, kernel, library):
        """The words of the command that compiles the kernel for the library of objects."""
        for c in self.commands:
            if pathlib.Path(c["file"]) == kernel and f"/{library}.dir/" in c["command"]:
                return shlex.split(c["command"])
        sys.exit(f"mutate.py: {self.folder} does not compile {kernel} for {library}")

    def objects_of(self, library):
        words = [shlex.split(c["command"]) for c in self.commands
                 if f"/{library}.dir/" in c["command"]]
        return [w[w.index("-o") + 1] for w in words]

    def link_of(self, target):
        last = run(["ninja", "-C", str(self.folder), "-t", "commands", target]).splitlines()[-1]
        return shlex.split(last.removeprefix(": && ").removesuffix(" && :"))

    def kernels(self):
        """Of the emulated module."""
        files = {c["file"] for c in self.commands if "/kernels_checked.dir/" in c["command"]}
        return [pathlib.Path(f) for f in sorted(files)]

    def mutants(self, kernel, library, target, barriers, to):
        """TARGET, made of the kernel with a choice for each barrier, below the folder TO."""
        numbers = {id(b): i for i, b in enumerate(barriers)}
        names = headers_of(kernel)
        names[kernel] = "kernel/" + kernel.name
        for path, name in names.items():
            write_choices(path, barriers, numbers, to / "root" / name)
        (to / "choice.h").write_text(CHOICE)
        words = self.compile_of(kernel, library)
        own = words[words.index("-o") + 1]
        words[words.index("-o") + 1] = str(to / "kernel.o")
        words[words.index("-c") + 1] = str(to / "root" / names[kernel])
        first = next(i for i, w in enumerate(words) if w.startswith("-I"))
        words[first:first] = [f"-I{to / 'root'}", "-include", str(to / "choice.h")]
        run(words, cwd=self.folder)
        joined = str(to / "joined.o")
        objects = [o for o in self.objects_of(library) if o != own] + [str(to / "kernel.o")]
        run(["ld", "-r", "-o", joined, *objects], cwd=self.folder)
        renames = [f"--redefine-sym={f}=emu_{f}" for f in ("memcpy", "memset", "memmove")]
        run(["objcopy", *renames, joined])
        link = self.link_of(target)
        out = to / pathlib.Path(link[link.index("-o") + 1]).name
        link[link.index("-o") + 1] = str(out)
        link = [joined if w.endswith(f"/{library}.o") else w for w in link]
        run(link, cwd=self.folder)
        return out


# ---- the tests ----


def failure_of(command, env, seconds):
    """How the tests failed, or ""; SECONDS of the processor's time are all that they have."""
    limited = ["prlimit", f"--cpu={seconds}:{seconds}", *command]
    done = subprocess.run(limited, env={**os.environ, **env}, capture_output=True, text=True,
                          errors="replace")
    text = done.stdout + done.stderr
    if done.returncode == -signal.SIGKILL:
        return NO_END
    # what test_ops says of ops that are not selected is no matter
    failed = set(re.findall(r"^\[  FAILED  \] (\w+)$", text, re.M))
    if done.returncode == 0 or (failed == {"coverage"} and "test(s), listed below" in text):
        return ""
    said = MESSAGE.search(text)
    if said:
        return said.group(1)
    wrong = re.search(r"^FAILED (.*)$", text, re.M)
    return "wrong numbers" if wrong else f"exit code {done.returncode}"


class Tests:
    """What is run for a kernel: commands, each with its environment, the quickest first."""

    def __init__(self, runs, jobs):
        self.runs = runs
        self.jobs = jobs

    def keep_quick(self, seconds):
        """Drops runs that take longer; all others have to pass."""
        def measure(one):
            began = time.monotonic()
            why = failure_of(*one, seconds)
            return time.monotonic() - began, why
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            took = list(pool.map(measure, self.runs))
        for (command, env), (_, why) in zip(self.runs, took):
            if why and why != NO_END:
                sys.exit(f"mutate.py: with all barriers {shlex.join(command)} fails: {why}\n{env}")
        order = sorted(range(len(took)), key=lambda i: took[i][0])
        self.runs = [self.runs[i] for i in order if not took[i][1]]
        if not self.runs:
            sys.exit(f"mutate.py: no test takes less than {seconds} s")

    def notice(self, number):
        """How the first run that fails without barrier NUMBER does, or ""."""
        for order in ORDERS:
            for command, env in self.runs:
                env = {**env, "CZ_MUTANT": str(number), "CZ_EMULATOR_ORDER": order}
                why = failure_of(command, env, SECONDS)
                if why:
                    return f"order {order}: {why}"
        return ""


def runs_of_ops(build, module, ops, args):
    env = {"CZ_TEST_DEVICE": "emu:check", "CZ_MODULE_PATH": str(module.parent),
           "CZ_TEST_DTYPES": args.dtypes, "CZ_TEST_CHECKS": "values", "CZ_TEST_SEED": str(args.seed),
           "CZ_EMULATOR_SECONDS": "60", "OMP_NUM_THREADS": "1"}
    command = [str(build.folder / "tests" / "ops" / "test_ops")]
    listed = run(command, env={**os.environ, "CZ_TEST_LIST": "1"})
    fixed = {op: int(n) for op, n in map(str.split, listed.splitlines())}
    return [(command, {**env, "CZ_TEST_OPS": op, "CZ_TEST_INDEX": str(i)})
            for op in ops for i in range(args.cases or fixed[op])]


def examine(build, kernel, barriers, args):
    """Gives each barrier its verdict."""
    to = build.folder / "mutants" / kernel.stem
    if args.program:
        library = args.program.removeprefix("test_")
        program = build.mutants(kernel, library, args.program, barriers, to)
        runs = [([str(program)], {"OMP_NUM_THREADS": "1"})]
    else:
        module = build.mutants(kernel, "kernels_checked", "cloze_emu_check", barriers, to)
        ops = args.ops.split(",") if args.ops else [kernel.parent.name]
        runs = runs_of_ops(build, module, ops, args)
    tests = Tests(runs, args.jobs)
    tests.keep_quick(args.seconds)
    wanted = [i for i, b in enumerate(barriers) if not b.verdict]
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for i, verdict in zip(wanted, pool.map(tests.notice, wanted)):
            barriers[i].verdict = verdict


def report(barriers):
    """Prints the table; how many barriers are not as they should be."""
    wrong = 0
    for b in barriers:
        say = b.verdict or "SURVIVES"
        if b.spared:
            say = f"NOTICED, and its comment says it is not: {b.verdict}" if b.verdict else \
                "survives, as its comment says"
        wrong += bool(b.verdict) == b.spared
        print(f"{b.place():52} {b.call:24} {say[:110]}")
    return wrong


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--build", default=str(ROOT / "build" / "release"))
    p.add_argument("--all", action="store_true")
    p.add_argument("--kernel", nargs="+")
    p.add_argument("--ops")
    p.add_argument("--program")
    p.add_argument("--cases", type=int)
    p.add_argument("--seconds", type=int, default=3, help="of the processor; longer cases are left out")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--dtypes", default="f32,bf16")
    p.add_argument("--jobs", type=int, default=os.cpu_count())
    args = p.parse_args()
    if bool(args.kernel) == args.all:
        p.error("either --kernel or --all")
    return args


def main():
    args = arguments()
    build = Build(args.build)
    kernels = [pathlib.Path(k).resolve() for k in args.kernel or []] or build.kernels()
    files = {}  # by path, so that a header's barriers are one for all that include it
    for kernel in kernels:
        own = []
        for path in [kernel, *headers_of(kernel)]:
            own += files.setdefault(path, barriers_of(path))
        if any(not b.verdict for b in own):
            began = time.monotonic()
            examine(build, kernel, own, args)
            print(f"{kernel.relative_to(ROOT)}: {len(own)} barriers, "
                  f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    barriers = [b for path in files for b in files[path]]
    wrong = report(barriers)
    print(f"{len(barriers)} barriers, {wrong} not as they should be")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
