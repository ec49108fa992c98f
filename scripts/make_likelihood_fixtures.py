#!/usr/bin/env python3
"""Makes tests/fixtures/score/: what Hugging Face says of texts by the tiny models of
tests/fixtures/families, for `cloze score` and `cloze predict`.

    python3 scripts/make_likelihood_fixtures.py [--out tests/fixtures/score]

Each model gets a word-level tokenizer (MODEL.json) with the special tokens of its family, so that a
text names its ids: "w17 w9". cases.json has, of language models, log p of each token in float64,
and of classifiers the probabilities of one text or two. What a text spells is text: "[MASK]" in
one is the unknown word.
"""
import argparse
import json
import pathlib
import random

ROOT = pathlib.Path(__file__).resolve().parent.parent
arguments = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
arguments.add_argument("--out", type=pathlib.Path, default=ROOT / "tests/fixtures/score")
arguments = arguments.parse_args()  # before packages that may be missing

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

MODELS = ROOT / "tests/fixtures/families"
LANGUAGE_MODELS = ["bert_mlm", "roberta_mlm", "xlmr_mlm", "distilbert_mlm", "albert_mlm", "gpt2_lm"]
CLASSIFIERS = ["bert_class", "roberta_class", "distilbert_class", "albert_class", "gpt2_class"]


class Words:
    """A tokenizer for the model called NAME."""

    def __init__(self, name):
        config = json.loads((MODELS / name / "config.json").read_text())
        size = config["vocab_size"]
        self.longest = config.get("max_position_embeddings") or config["n_positions"]
        if config["model_type"] in ("roberta", "xlm-roberta"):
            self.longest -= config["pad_token_id"] + 1
        free = [i for i in range(size) if i != config["pad_token_id"]]
        self.ids = {"[UNK]": free[-1]}
        self.around = None
        if config["model_type"] != "gpt2":
            self.ids.update({"[CLS]": free[0], "[SEP]": free[1], "[MASK]": free[-2],
                             "[PAD]": config["pad_token_id"]})
            middle = 2 if config["model_type"] in ("roberta", "xlm-roberta") else 1
            self.around = (middle, 0 if middle == 2 else 1)
        special = set(self.ids.values())
        self.words = [i for i in range(size) if i not in special]
        self.vocabulary = {f"w{i}": i for i in self.words} | self.ids

    def save(self, path):
        t = Tokenizer(models.WordLevel(self.vocabulary, unk_token="[UNK]"))
        t.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        t.add_special_tokens(sorted(self.ids, key=self.ids.get))
        if self.around:
            middle, second = self.around
            pair = "[CLS] $A [SEP] " + "[SEP] " * (middle - 1) + f"$B:{second} [SEP]:{second}"
            t.post_processor = processors.TemplateProcessing(
                single="[CLS] $A [SEP]", pair=pair,
                special_tokens=[(k, self.ids[k]) for k in ("[CLS]", "[SEP]")])
        path.write_text(t.to_str() + "\n")

    def encode(self, text):
        special = set(self.ids)
        return [self.ids["[UNK]"] if w in special else self.vocabulary.get(w, self.ids["[UNK]"])
                for w in text.split()]

    def whole(self, a, b):
        """Ids and types with special tokens; B may be empty: there is no second text then."""
        if not self.around:
            return a + b, [0] * len(a + b)
        cls, sep = self.ids["[CLS]"], self.ids["[SEP]"]
        ids = [cls] + a + [sep]
        types = [0] * len(ids)
        if b:
            middle, second = self.around
            more = [sep] * (middle - 1)
            ids += more + b + [sep]
            types += [0] * len(more) + [second] * (len(b) + 1)
        return ids, types

    def draw(self, r, n):
        return " ".join(f"w{r.choice(self.words)}" for _ in range(n))


def load(name):
    cls = getattr(transformers, json.loads((MODELS / name / "config.json").read_text())
                  ["architectures"][0])
    return cls.from_pretrained(MODELS / name).double().eval()


def logits(model, ids, types):
    typed = getattr(model.config, "type_vocab_size", 0) > 1  # DistilBERT's tokenizer has types, too
    kinds = {"token_type_ids": torch.tensor([types])} if typed else {}
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids]), **kinds).logits[0]


def logprobs(model, words, text):
    """Of each token of TEXT; None: has none."""
    own = words.encode(text)
    ids, types = words.whole(own, [])
    if not words.around:
        if not ids:
            return []
        p = logits(model, ids, types).log_softmax(-1)
        return [None] + [p[i, own[i + 1]].item() for i in range(len(own) - 1)]
    out = []
    for i, wanted in enumerate(own):
        hidden = list(ids)
        hidden[i + 1] = words.ids["[MASK]"]
        out.append(logits(model, hidden, types)[i + 1].log_softmax(-1)[wanted].item())
    return out


def language_case(name, r, out):
    words, model = Words(name), load(name)
    words.save(out / f"{name}.json")
    room = words.longest - (2 if words.around else 0)
    texts = ["", words.draw(r, 1), words.draw(r, room), "w5 [MASK] nothing w6", "[UNK] [SEP]"]
    texts += [words.draw(r, r.randrange(2, room)) for _ in range(7)]
    names = {i: w for w, i in words.vocabulary.items()}
    return {"model": name, "texts": texts,
            "tokens": [[names[i] for i in words.encode(t)] for t in texts],
            "logprobs": [logprobs(model, words, t) for t in texts]}


def class_case(name, r, out):
    words, model = Words(name), load(name)
    words.save(out / f"{name}.json")
    room = words.longest - (4 if words.around else 0)
    texts = [[words.draw(r, 1), ""], [words.draw(r, room), ""], ["w5 [SEP] [MASK]", "w7"]]
    for _ in range(9):
        a = r.randrange(1, room - 1)
        texts.append([words.draw(r, a), words.draw(r, r.randrange(1, room - a))])
    p = []
    for a, b in texts:
        ids, types = words.whole(words.encode(a), words.encode(b))
        p.append(logits(model, ids, types).softmax(-1).tolist())
    return {"model": name, "max_length": words.longest, "texts": texts, "probabilities": p}


def main():
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    r = random.Random(11)
    cases = {"language_models": [language_case(n, r, out) for n in LANGUAGE_MODELS],
             "classifiers": [class_case(n, r, out) for n in CLASSIFIERS]}
    (out / "cases.json").write_text(json.dumps(cases) + "\n")


if __name__ == "__main__":
    main()
