"""Registers and spills, from what ptxas said (build/release/cuda/OP_cuda.ptxas.txt)."""

import glob
import os
import re
import subprocess

ENTRY = re.compile(r"Compiling entry function '(\w+)' for '(\w+)'")
SPILLS = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")


def demangle(names):
    """{name: its C++ text}. Functions of one file have one text from all compilers: static ones and
    what stands in an unnamed namespace are mangled differently."""
    names = sorted(set(names))
    said = subprocess.run(
        ["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True
    )
    return dict(zip(names, said.stdout.split("\n")))


def parse(text):
    """A dictionary for each function and architecture, under (architecture, mangled name)."""
    found, now = {}, None
    for line in text.split("\n"):
        entry = ENTRY.search(line)
        if entry:
            now = found[entry.group(2), entry.group(1)] = {
                "registers": 0,
                "stack": 0,
                "spill_stores": 0,
                "spill_loads": 0,
                "static_shared": 0,
            }
        elif now is None:
            continue
        spills, used, shared = SPILLS.search(line), USED.search(line), SHARED.search(line)
        if spills:
            now["stack"], now["spill_stores"], now["spill_loads"] = map(int, spills.groups())
        if used:
            now["registers"] = int(used.group(1))
        if shared:
            now["static_shared"] = int(shared.group(1))
    return found


def read(build):
    """{file: {(architecture, function): {...}}} of all kernel files that were compiled."""
    files = {}
    for path in sorted(glob.glob(os.path.join(build, "cuda", "*_cuda.ptxas.txt"))):
        with open(path, encoding="utf-8") as f:
            found = parse(f.read())
        texts = demangle(name for _, name in found)
        name = os.path.basename(path)[: -len(".ptxas.txt")]
        files[name] = {}
        for (architecture, mangled), numbers in found.items():
            files[name][architecture, texts[mangled]] = {**numbers, "mangled": mangled}
    return files


def version(build):
    """Of the ptxas beside the nvcc that the build folder names, "13.0.88"; None where that is not
    known."""
    try:
        with open(os.path.join(build, "CMakeCache.txt"), encoding="utf-8") as f:
            nvcc = re.search(r"^CZ_NVCC:\w+=(.+)$", f.read(), re.MULTILINE)
        program = os.path.join(os.path.dirname(os.path.realpath(nvcc.group(1))), "ptxas")
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
        return re.search(r"V([0-9.]+)", said.stdout).group(1)
    except (OSError, AttributeError, subprocess.CalledProcessError):
        return None


def of_function(files, op, architecture, function):
    """What ptxas said of FUNCTION of OP, which is looked for in the op's own file first; or None."""
    own = op + "_cuda"
    for name in [own] + [name for name in files if name != own]:
        found = files.get(name, {}).get((architecture, function))
        if found:
            return {**found, "file": name}
    return None


def short(function):
    """Its name and template arguments without its parameters."""
    depth, at = 0, 0
    for at, c in enumerate(function):
        depth += {"<": 1, ">": -1}.get(c, 0)
        if c == "(" and depth == 0 and not function.startswith("(anonymous", at):
            break
    else:
        at = len(function)
    text = re.sub(r"^void ", "", function[:at])
    for long, name in (
        ("__nv_bfloat16", "bf16"),
        ("__half", "fp16"),
        ("(anonymous namespace)::", ""),
    ):
        text = text.replace(long, name)
    return text
