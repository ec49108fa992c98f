#!/usr/bin/env python3
"""Converts a model directory with PyTorch's pickles, pytorch_model.bin or its shards, to
safetensors, which is all that Cloze reads.

    python3 scripts/convert_pickle.py SRC_DIR OUT_DIR

OUT_DIR, which must not exist or be empty, receives model.safetensors and copies of the other files
of SRC_DIR's top folder, but for weights of other formats. The pickle is read with weights_only=True:
code in it is not run, and one that holds anything but tensors is refused. A tensor that is stored
twice, as the output matrix that is the embedding, is written once, under the name that Cloze and
transformers read; tensors keep their type. Needs torch 2.6 or later, and safetensors."""

import json, pathlib, shutil, sys

if {"-h", "--help"} & set(sys.argv[1:]):  # before packages that may be missing
    sys.exit(print(__doc__))

INDEX, WHOLE = "pytorch_model.bin.index.json", "pytorch_model.bin"

# Of tensors that share memory the one kept is the first in this order; a name ends with one of
# these where it is the alias (docs/models.md 1).
ALIASES = (
    "lm_head.weight",
    "decoder.weight",
    "decoder.bias",
    "vocab_projector.weight",
    "embed_tokens.weight",
)
OTHER_WEIGHTS = (".bin", ".h5", ".msgpack", ".ot", ".onnx", ".pt", ".pth", ".ckpt", ".safetensors")


def die(message):
    sys.exit(f"convert_pickle.py: {message}")


def text_of(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        die(f"{path}: {error}")


def files_of(src):
    """The pickles, and of shards what the index says: tensor to file."""
    if (src / WHOLE).exists():
        return [WHOLE], None
    if not (src / INDEX).exists():
        has = "; it has safetensors already" if list(src.glob("*.safetensors")) else ""
        die(f"{src}: neither {WHOLE} nor {INDEX} is in this folder{has}")
    places = text_of(src / INDEX).get("weight_map")
    if not isinstance(places, dict) or not places:
        die(f"{src / INDEX}: weight_map is missing or empty")
    for name, file in places.items():
        if not isinstance(file, str) or file != pathlib.PurePath(file).name:
            die(f"{src / INDEX}: {name} lies in {file!r}, which is no file of this folder")
        if not (src / file).exists():
            die(f"{src / INDEX}: {name} lies in {file}, which is missing")
    return sorted(set(places.values())), places


def load(path):
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what pickles can do wrong has no common class
        die(f"{path}: {str(error).splitlines()[0]}")
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]  # as trainers save it
    if not isinstance(state, dict):
        die(f"{path}: holds a {type(state).__name__}, not tensors by name")
    for name, x in state.items():
        if not isinstance(name, str) or not isinstance(x, torch.Tensor):
            die(f"{path}: {name!r} is a {type(x).__name__}, not a tensor")
    return state


def all_tensors(src, files, places):
    tensors = {}
    for file in files:
        for name, x in load(src / file).items():
            if name in tensors:
                die(f"{src / file}: {name} is in an earlier file, too")
            if places is not None and places.get(name) != file:
                die(f"{src / INDEX}: {name} lies in {file}, where the index does not have it")
            tensors[name] = x
    for name in places or ():
        if name not in tensors:
            die(f"{src / INDEX}: {name} is not in {places[name]}")
    return tensors


def same_memory(a, b):
    return (
        a.numel() > 0
        and a.shape == b.shape
        and a.dtype == b.dtype
        and a.data_ptr() == b.data_ptr()
        and a.stride() == b.stride()
    )


def original(name, tensors, kept):
    """The tensor in KEPT that NAME is another name of: the same memory, as tied tensors come out
    of one pickle, or the same numbers under an alias's name, as they come out of two shards."""
    for other in kept:
        a, b = tensors[name], tensors[other]
        if same_memory(a, b):
            return other
        if name.endswith(ALIASES) and a.dtype == b.dtype and torch.equal(a, b):
            return other
    return None


def without_aliases(tensors):
    """Drops tensors that are another one, and says so; others that share memory are copied."""
    kept = {}
    for name in sorted(tensors, key=lambda name: name.endswith(ALIASES)):  # stable
        first = original(name, tensors, kept)
        if first is None:
            kept[name] = tensors[name].contiguous().clone()
        else:
            print(f"{name}: the same tensor as {first}, dropped")
    return kept


def copy_others(src, out):
    for path in sorted(src.iterdir()):
        weights = path.name.endswith(OTHER_WEIGHTS) or ".index.json" in path.name
        if path.is_file() and not weights:
            shutil.copy(path, out / path.name)


if len(sys.argv) != 3:
    sys.exit(__doc__)
src, out = map(pathlib.Path, sys.argv[1:])
if not src.is_dir():
    die(f"{src}: no such folder")
if out.exists() and (not out.is_dir() or any(out.iterdir())):
    die(f"{out}: exists and is not an empty folder")

files, places = files_of(src)

import safetensors.torch, torch  # behind what needs neither

if tuple(int(x) for x in torch.__version__.split(".")[:2]) < (2, 6):
    die(f"torch {torch.__version__}: before 2.6 weights_only does not keep code from running")
found = all_tensors(src, files, places)
kept = without_aliases(found)
aside = out.with_name(f".{out.name}.aside")
shutil.rmtree(aside, ignore_errors=True)
aside.mkdir(parents=True)
copy_others(src, aside)
safetensors.torch.save_file(kept, aside / "model.safetensors", metadata={"format": "pt"})
if out.exists():
    out.rmdir()  # it is empty
aside.rename(out)
print(f"{out}: {len(kept)} tensors of {len(found)}")
