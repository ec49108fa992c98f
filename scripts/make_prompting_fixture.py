#!/usr/bin/env python3
"""Makes tests/fixtures/prompting/: scores of label words behind demonstrations, and by a causal LM,
by Hugging Face's BERT and GPT-2 in float64.

    /work/torchenv/bin/python scripts/make_prompting_fixture.py [OUT]

OUT gets two random models, bert and gpt2, the pattern files bert.yaml and gpt2.yaml, t.tsv and
test.tsv (texts of make_pet_fixture.py's), and expected.json: which texts of t.tsv are shown under
each pattern, and scores of both files' texts with them and, of GPT-2, without them. Written from
docs/pet.md 3.4 to 3.6, one text and one word at a time: lengths are cut a token at a time, a causal
LM's score is the log-likelihood of the whole text less that of what stands before the answer, both
from logits of texts of their own. Needs torch, transformers, tokenizers, safetensors."""

import argparse
import json
import pathlib
import random

arguments = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
arguments.add_argument("out", nargs="?", default="tests/fixtures/prompting", metavar="OUT")
arguments = arguments.parse_args()  # before packages that may be missing

import hf_float64  # noqa: F401: patches transformers
import tokenizers
import torch
import transformers
from make_prompt_fixtures import MASK, Kind, room, shorten
from tokenizers import decoders, models, pre_tokenizers, trainers

PET = pathlib.Path("tests/fixtures/pet")
LABELS = ["games", "music", "food"]
# A pattern of title a and text b, its words for each label, and the texts that are shown.
BERT = [
    ("{mask} : {a*} {b*}", lambda a, b: ([MASK, ":", (a, True), (b, True)], None),
     [["game", "play"], ["song"], ["food"]], [3, 0, 5]),
    ("{a*} ( about {mask} ) || {b*}",
     lambda a, b: ([(a, True), "( about", MASK, ")"], [(b, True)]),
     [["game"], ["band", "loud"], ["eat"]], [1]),
    ("{a} is {mask:2} . {b*}", lambda a, b: ([a, "is", MASK, MASK, ".", (b, True)], None),
     [["game"], ["songs", "band"], ["cooks"]], [6, 2, 7, 4, 1, 0]),
]
GPT2 = [
    ("{a*} {b*} is about {mask}", lambda a, b: ([(a, True), (b, True), "is about", MASK], None),
     [["game", "play"], ["song"], ["food"]], [3, 0, 5]),
    ("{mask} : {a*} {b*}", lambda a, b: ([MASK, ":", (a, True), (b, True)], None),
     [["game"], ["song", "loud"], ["food"]], [2]),
    ("{a} is about {mask:4} . || {b*}",
     lambda a, b: ([a, "is about"] + [MASK] * 4 + ["."], [(b, True)]),
     [["game"], ["songs", "band play"], ["soup salt"]], [6, 2, 7, 4, 1, 0]),
    ("{b*} : {mask:2}", lambda a, b: ([(b, True), ":", MASK, MASK], None),
     [["games", "win"], ["songs"], ["food"]], [1, 4]),
]
LENGTHS = {"bert": 34, "gpt2": 44}
SEPARATORS = {"bert": ". :", "gpt2": "\n\n"}
COUNTS = {"whole": 0, "cut": 0, "dropped": 0, "own": 0}


class Causal(Kind):
    """GPT-2's tokenizer: byte-level BPE, without special tokens and without a mask."""

    def __init__(self, tokenizer):
        self.mask, self.byte_level, self.t = -1, True, tokenizer
        self.pair, self.first_type = [], 0


def fits(shown, level, left):
    """Whether demonstrations, lists of (fixed, shortenable) tokens, fit when each keeps LEVEL."""
    return sum(fixed + min(free, level) for fixed, free in shown) <= left


def prompt(kind, parts, separator, shown, max_length):
    """Ids, types and places of the masks of a text behind SHOWN: its own pieces, then those of each
    demonstration with the ids of its word."""
    a, b = kind.pieces(parts[0]), kind.pieces(parts[1] or [])
    two = bool(b)
    special = (len(kind.pair) if two else 2) if kind.pair else 0
    excess = sum(len(ids) for ids, _ in a + b) + special - max_length
    for _ in range(max(0, excess)):
        shorten(a if room(a) > room(b) else b)
    left = max(0, -excess)
    demos = []
    for demonstration, word in shown:
        pieces = [kind.pieces(s or []) for s in demonstration]
        for s in pieces:  # the word stands where the first mask is
            masks = [i for i, (ids, _) in enumerate(s) if ids == [kind.mask]]
            for i in reversed(masks):
                s[i:i + 1] = [(list(word), False)] if i == masks[0] else []
        free = sum(room(s) for s in pieces)
        fixed = sum(len(ids) for s in pieces for ids, _ in s) - free + len(separator)
        demos.append((pieces, fixed, free))
    while demos and not fits([d[1:] for d in demos], 0, left):
        demos.pop(0)
        COUNTS["dropped"] += 1
    level = max_length
    while not fits([d[1:] for d in demos], level, left):
        level -= 1
    front = []
    for pieces, _, free in demos:
        COUNTS["cut" if free > level else "whole"] += 1
        for _ in range(max(0, free - level)):
            shorten(pieces[0] if room(pieces[0]) > room(pieces[1]) else pieces[1])
        front += [i for s in pieces for ids, _ in s for i in ids] + separator
    one, other = (front + [i for ids, _ in a for i in ids], [i for ids, _ in b for i in ids])
    if not kind.pair:
        ids, types = one + other, [0] * len(one + other)
        places = [i for i, x in enumerate(ids) if x == kind.mask]
    else:
        begin, end = kind.pair[0], kind.pair[-1]
        ids, types = [begin] + one + [end], [0] * (len(one) + 2)
        if two:
            ids += kind.pair[2:-1] + other + [end]
            types += [kind.first_type] * (len(ids) - len(types))
        places = [i for i, x in enumerate(ids) if x == kind.mask]
    assert len(ids) <= max_length
    return ids, types, places


def logits_of(model, ids, types=None):
    kinds = {"token_type_ids": torch.tensor([types])} if types else {}
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids]), **kinds).logits[0]


def masked(model, ids, types, places, answers, several):
    """The logit of a word at the one mask; of several left to right, log p of each."""
    if not several:
        logits = logits_of(model, ids, types)[places[0]]
        return [sum(float(logits[w[0]]) for w in label) / len(label) for label in answers]
    scores = []
    for label in answers:
        total = 0.0
        for word in label:
            surplus = places[len(word):]
            kept = [i for i in range(len(ids)) if i not in surplus]
            now, kinds = [ids[i] for i in kept], [types[i] for i in kept]
            for place, token in zip(places, word):
                total += float(logits_of(model, now, kinds)[place].log_softmax(-1)[token])
                now[place] = token
        scores.append(total / len(label))
    return scores


def likelihood(model, ids):
    if len(ids) < 2:
        return 0.0
    p = logits_of(model, ids).log_softmax(-1)
    return sum(float(p[i, ids[i + 1]]) for i in range(len(ids) - 1))


def causal(model, ids, places, answers):
    front, behind = ids[:places[0]], ids[places[-1] + 1:]
    return [sum(likelihood(model, front + w + behind) for w in label) / len(label)
            - likelihood(model, front) for label in answers]


def score(name, kind, model, rows, t, patterns, max_length, show):
    separator = kind.ids(SEPARATORS[name])
    out = []
    for _, parts, words, items in patterns:
        answers = [[kind.ids(w) for w in label] for label in words]
        masks = parts("", "")[0].count(MASK)
        assert all(0 < len(w) <= masks for label in answers for w in label)
        scores = []
        for a, b, _ in rows:
            shown = [t[i] for i in items if t[i][:2] != [a, b]] if show else []
            COUNTS["own"] += show and len(shown) < len(items)
            shown = [(parts(x, y), answers[LABELS.index(c)][0]) for x, y, c in shown]
            ids, types, places = prompt(kind, parts(a, b), separator, shown, max_length)
            scores += (causal(model, ids, places, answers) if name == "gpt2" else
                       masked(model, ids, types, places, answers, len(places) > 1))
        out.append(scores)
    return out


def rank(kind, model, rows, out):
    """Of answers drawn from the vocabulary the place among all words at the mask; of others null."""
    words = [w for w in kind.t.get_vocab() if w.isalpha() and len(w) > 2]
    answers = [random.choice(sorted(words)) for _ in rows]
    answers[2], answers[5] = "gamesome", "\u00e9"
    special = {kind.t.token_to_id(x) for x in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")}
    names = {i: w for w, i in kind.t.get_vocab().items() if i not in special and kind.ids(w) == [i]}
    for _, parts, _, _ in BERT[:2]:  # of each pattern some answers are the first
        for k, (a, b, _) in enumerate(rows[6:]):
            ids, types, places = prompt(kind, parts(a, b), [], [], LENGTHS["bert"])
            logits = logits_of(model, ids, types)[places[0]].tolist()
            best = max((i for i in range(len(logits)) if i not in special), key=logits.__getitem__)
            answers[6 + k] = names.get(best, answers[6 + k])
    lines = [f"{a}\t{b}\t{answer}" for (a, b, _), answer in zip(rows, answers)]
    (out / "answers.tsv").write_text("\n".join(["title\ttext\tanswer", *lines]) + "\n")
    ranks = []
    for _, parts, _, _ in BERT[:2]:
        ranks.append([])
        for (a, b, _), answer in zip(rows, answers):
            ids, types, places = prompt(kind, parts(a, b), [], [], LENGTHS["bert"])
            logits = logits_of(model, ids, types)[places[0]].tolist()
            token = kind.ids(answer)
            if len(token) > 1 or token[0] in special:
                ranks[-1].append(None)
                continue
            above = [i for i, x in enumerate(logits) if i not in special and x > logits[token[0]]]
            ranks[-1].append(1 + len(above))
    assert all(None in r and 1 in r and max(x or 0 for x in r) > 10 for r in ranks), ranks
    return ranks


def gpt2_tokenizer(texts):
    t = tokenizers.Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=420, special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return t


def pattern_file(name, patterns):
    lines = ["# For tests/few_shot/test_prompting.c; make_prompting_fixture.py wrote it.",
             "fields: {a: title, b: text}", "label_column: section",
             f"labels: [{', '.join(LABELS)}]"]
    if name == "bert":
        lines.append(f"separator: '{SEPARATORS[name]}'")
    lines.append("patterns:")
    for text, _, words, _ in patterns:
        each = ", ".join(f"{label}: [{', '.join(w)}]" for label, w in zip(LABELS, words))
        lines.append(f'  - {{pattern: "{text}", words: {{{each}}}}}')
    return "\n".join(lines) + "\n"


def save(model, tokenizer, folder):
    model.float().save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    return model.double().eval()


def main():
    out = pathlib.Path(arguments.out)
    random.seed(3)
    torch.manual_seed(3)
    torch.set_num_threads(1)
    lines = (PET / "train.tsv").read_text().splitlines()
    chosen = [lines[0]] + [x for x in dict.fromkeys(lines[1:]) if "zz" not in x][:8]
    test = (PET / "test.tsv").read_text().splitlines()
    rows = {"t": [x.split("\t") for x in chosen[1:]], "test": [x.split("\t") for x in test[1:]]}
    assert len({tuple(r[:2]) for r in rows["t"] + rows["test"]}) == 8 + len(rows["test"])
    corpus = [x.replace("\t", " ") for x in lines[1:] + test[1:]] * 3 + ["it is about this : ."] * 9
    bert = tokenizers.Tokenizer.from_file(str(PET / "model" / "tokenizer.json"))
    gpt2 = gpt2_tokenizer([" " + x for x in corpus])
    kinds = {"bert": Kind(bert, "[MASK]", False, [2, 3, 3], 1), "gpt2": Causal(gpt2)}
    made = {
        "bert": transformers.BertForMaskedLM(transformers.BertConfig(
            vocab_size=100, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=24, max_position_embeddings=LENGTHS["bert"], initializer_range=0.3,
            hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)),
        "gpt2": transformers.GPT2LMHeadModel(transformers.GPT2Config(
            vocab_size=gpt2.get_vocab_size(), n_embd=16, n_layer=2, n_head=2, bos_token_id=0,
            n_positions=LENGTHS["gpt2"], initializer_range=0.3, eos_token_id=0, resid_pdrop=0.0,
            embd_pdrop=0.0, attn_pdrop=0.0)),
    }
    expected = {"versions": {m.__name__: m.__version__ for m in (torch, transformers, tokenizers)}}
    for name, patterns in (("bert", BERT), ("gpt2", GPT2)):
        kind, length = kinds[name], LENGTHS[name]
        (out / name).mkdir(parents=True, exist_ok=True)
        model = save(made[name], bert if name == "bert" else gpt2, out / name)
        (out / f"{name}.yaml").write_text(pattern_file(name, patterns))
        expected[name] = {"max_length": length, "items": [p[3] for p in patterns]}
        for which, list_of in rows.items():
            for key, show in (("zero_shot", False), ("shown", True)):
                scores = score(name, kind, model, list_of, rows["t"], patterns, length, show)
                expected[name][f"{which}_{key}"] = scores
        print(name, [[len(kind.ids(w)) for label in p[2] for w in label] for p in patterns], COUNTS)
        assert all(COUNTS.values())  # or nothing is known of what is cut, left out, shown itself
    (out / "rank.yaml").write_text(
        "# For tests/few_shot/test_prompting.c; make_prompting_fixture.py wrote it.\n"
        "fields: {a: title, b: text}\nlabel_column: answer\npatterns:\n"
        + "".join(f'  - "{x[0]}"\n' for x in BERT[:2]))
    expected["rank"] = rank(kinds["bert"], made["bert"], rows["t"] + rows["test"], out)
    (out / "t.tsv").write_text("\n".join(chosen) + "\n")
    (out / "test.tsv").write_text("\n".join(test) + "\n")
    (out / "expected.json").write_text(
        json.dumps(expected, separators=(",", ":"), allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
