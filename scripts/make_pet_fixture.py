#!/usr/bin/env python3
"""Makes tests/fixtures/pet/: one tiny run of PET and iPET, from data to student, by Hugging Face's
BERT and PyTorch in float64, without dropout.

    /work/torchenv/bin/python scripts/make_pet_fixture.py [OUT] [--seed N]

OUT holds the pretrained model, a random one with a tokenizer of 100 words, the pattern file p.yaml,
train.tsv and test.tsv, and expected.json with what every step yields: the draws of T and D, of each
member its accuracy before training, loss and gradient norm of each update, scores, and masked-LM
loss of held-out text before and after; the ensemble, the sets of generation 1, its members, soft
targets, the student. Written from docs/pet.md 1 and 2: losses, loops, optimizer and sets are this
file's or PyTorch's; prompts are applied by make_prompt_fixtures.py. Random draws are the program's,
from their definition (cloze_random.py): order of texts, masks, teachers, sets, the student's head.

Texts go through the model one at a time, so no padding enters; weights are stored in float32.
Needs torch, transformers, tokenizers, numpy, safetensors. Half a minute."""

import argparse
import json
import math
import pathlib
import random

arguments = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
arguments.add_argument("out", nargs="?", default="tests/fixtures/pet", metavar="OUT")
arguments.add_argument("--seed", type=int, default=15, help="of weights and texts")
arguments = arguments.parse_args()  # before packages that may be missing

import cloze_random
import hf_float64  # noqa: F401: patches transformers
import numpy as np
import tokenizers
import torch
import transformers
from make_prompt_fixtures import MASK, Kind, apply
from pet_loop import batches, draw_classifier, key_of, train
from tokenizers import models, normalizers, pre_tokenizers, processors

# What tests/few_shot/test_whole.c asks of the program.
SEED, UPDATES, LABELLED, AUXILIARY, ALPHA, RATE = 5, 20, 4, 6, 0.3, 4e-3
SIZE_T, SIZE_D, MAX_LENGTH, REPETITIONS = 7, 16, 22, 2
SCALE, SHARE, TEMPERATURE = 2, 0.7, 2.0
STUDENT_BATCH, STUDENT_RATE = 5, 6e-3

LABELS = ["games", "music", "food"]
WORDS = [  # of each pattern, for each label
    [["game", "play"], ["song"], ["food"]],
    [["game", "play"], ["song", "loud", "band"], ["eat"]],
]
PATTERNS = [  # title a, text b
    lambda a, b: ([MASK, ":", (a, True), (b, True)], None),
    lambda a, b: ([(a, True), "( about", MASK, ")"], [(b, True)]),
]
PATTERN_FILE = """# A task for tests/few_shot/test_whole.c; make_pet_fixture.py wrote it.
fields: {a: title, b: text}
label_column: section
labels: [games, music, food]
words: {games: [game, play], music: song, food: food}
patterns:
  - "{mask} : {a*} {b*}"
  - pattern: "{a*} ( about {mask} ) || {b*}"
    words: {games: [game, play], music: [song, loud, band], food: eat}
"""
THEMES = [
    "game play win level enemy score jump race".split(),
    "song band loud guitar drum sing album tune".split(),
    "food eat soup bread cook salt sweet oven".split(),
]
COMMON = "the a of and to with for is about very".split()
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def make_tokenizer():
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = SPECIAL + list(letters) + ["##" + x for x in letters] + list(":().?") + COMMON
    words += [w for theme in THEMES for w in theme]
    vocabulary = {w: i for i, w in enumerate(dict.fromkeys(words))}
    for i in range(len(vocabulary), 100):
        vocabulary["##%s" % "qxz"[i % 3] * (i // 3)] = i
    assert len(vocabulary) == 100
    t = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer(lowercase=True)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.add_special_tokens(SPECIAL)
    t.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return t


def make_model():
    config = transformers.BertConfig(
        vocab_size=100, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=MAX_LENGTH, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, initializer_range=0.3, layer_norm_eps=1e-12,
    )
    torch.manual_seed(arguments.seed)
    model = transformers.BertForMaskedLM(config)
    for name, p in model.named_parameters():
        gain = name.endswith("LayerNorm.weight")
        p.data = (1 if gain else 0) + torch.randn_like(p) * (0.1 if gain else 0.25)
    model.tie_weights()
    return model


def make_texts(draw, n):
    for i in range(n):
        label = draw.randrange(len(LABELS))
        pool = THEMES[label] * 2 + COMMON + THEMES[draw.randrange(3)]
        title = " ".join(draw.choice(pool) for _ in range(draw.randrange(1, 5)))
        text = " ".join(draw.choice(pool) for _ in range(draw.randrange(2, 15)))
        yield title, text + draw.choice(["", ".", " ?", " zz", " [MASK]"]), LABELS[label]


def make_data(out):
    """Some texts stand in both files, some twice in one: neither T nor D may hold them again."""
    draw = random.Random(arguments.seed)
    train, test = list(make_texts(draw, 34)), list(make_texts(draw, 9))
    train[9], train[20], train[30] = test[2], train[3], (train[5][0].upper() + " ", *train[5][1:])
    for name, rows in (("train", train), ("test", test)):
        lines = ["title\ttext\tsection"] + ["\t".join(row) for row in rows]
        (out / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    return train, test


def same(row):
    return tuple(" ".join(field.lower().split()) for field in row[:2])


def draw_sets(train, test):
    """Rows of T, balanced, and of D, any (docs/pet.md)."""
    seen, free = {same(row) for row in test}, []
    for i, row in enumerate(train):
        if same(row) not in seen:
            free.append(i)
        seen.add(same(row))
    order, t = list(range(len(LABELS))), []
    cloze_random.Stream(SEED, "draw of T, labels", 0, 0).shuffle(order)
    for c, label in enumerate(LABELS):
        pool = [i for i in free if train[i][2] == label]
        cloze_random.Stream(SEED, "draw of T", c, 0).shuffle(pool)
        t += pool[: SIZE_T // len(LABELS) + (order.index(c) < SIZE_T % len(LABELS))]
    d = [i for i in free if i not in t]
    cloze_random.Stream(SEED, "draw of D", 0, 0).shuffle(d)
    return sorted(t), sorted(d[:SIZE_D])


def masked(x, seed, epoch, number):
    """Devlin et al. 2019, 3.1: 15 %, of those 80 % masked, 10 % random, 10 % as they are; never a
    special token, so never the pattern's own mask."""
    s, ids, labels = cloze_random.Stream(seed, "masked tokens", epoch, number), list(x["ids"]), []
    for i, token in enumerate(ids):
        chosen = token not in (0, 2, 3, 4) and s.uniform() < 0.15
        labels.append(token if chosen else -100)
        if chosen:
            u = s.uniform()
            ids[i] = token if u < 0.1 else s.below(100) if u < 0.2 else 4
    return {**x, "ids": ids, "labels": labels}


class Run:
    """Texts as inputs, models over them."""

    def __init__(self, folder, kind, rows):
        self.folder, self.kind, self.rows = folder, kind, rows

    def inputs(self, rows, pattern):
        for i in rows:
            a, b = self.rows[i][:2]
            parts = PATTERNS[pattern](a, b) if pattern >= 0 else ([(a, True)], [(b, True)])
            ids, types, mask, _ = apply(self.kind, *parts, MAX_LENGTH)
            assert len(mask) == (pattern >= 0)
            yield {"ids": ids, "types": types, "row": mask}

    def pretrained(self, pattern, seed):
        if pattern >= 0:
            model = transformers.BertForMaskedLM.from_pretrained(self.folder)
            return model.double().eval()
        model = transformers.BertForSequenceClassification.from_pretrained(
            self.folder, num_labels=len(LABELS)
        ).double().eval()
        draw_classifier(model, seed)
        return model

    def forward(self, model, x):
        ids, types = torch.tensor([x["ids"]]), torch.tensor([x["types"]])
        return model(input_ids=ids, token_type_ids=types).logits[0]

    def scores(self, model, x, pattern):
        """Of the labels: the mean of their words' logits at the mask, or the classifier's."""
        logits = self.forward(model, x)
        if pattern < 0:
            return logits
        words = [[self.kind.ids(w)[0] for w in label] for label in WORDS[pattern]]
        return torch.stack([logits[x["row"][0]][w].mean() for w in words])

    def to_train(self, rows, pattern):
        return self.inputs(rows, pattern)

    def loss(self, model, x, pattern, label):
        return torch.nn.functional.cross_entropy(self.scores(model, x, pattern),
                                                 torch.tensor(label))

    def all_scores(self, model, rows, pattern):
        """As they are kept, in float32."""
        with torch.no_grad():
            s = [self.scores(model, x, pattern) for x in self.inputs(rows, pattern)]
        return torch.stack(s).numpy().astype(np.float32)

    def held_out(self, model, rows):
        total, n = 0.0, 0
        with torch.no_grad():
            for number, x in enumerate(self.inputs(rows, -1)):
                x = masked(x, 0, 0, number)
                loss = lm_loss(self.forward(model, x), x)
                total, n = total + float(loss), n + counted(x)
        return total / n


def counted(x):
    return sum(label != -100 for label in x["labels"])


def lm_loss(logits, x):
    labels = torch.tensor(x["labels"])
    return torch.nn.functional.cross_entropy(logits, labels, reduction="sum", ignore_index=-100)


def member(run, sets, place, texts):
    """Trains one on TEXTS, (row, label), and D as auxiliary texts; scores all sets."""
    generation, pattern, repetition = place
    seed = key_of(SEED, *place)
    model = run.pretrained(pattern, seed)
    t, d, test = sets
    labels_t = [LABELS.index(run.rows[i][2]) for i in t]
    before = run.all_scores(model, t, pattern)
    out = {"pattern": pattern, "repetition": repetition, "generation": generation,
           "zero_shot": float(np.mean(before.argmax(1) == labels_t)),
           "heldout_mlm_before": run.held_out(model, test)}
    mine, wanted = list(run.to_train([i for i, _ in texts], pattern)), [c for _, c in texts]
    others = list(run.to_train(d, pattern))
    drawn = batches(len(mine), LABELLED, seed)
    helpers = batches(len(others), AUXILIARY, seed ^ cloze_random.hash64(b"unlabelled"))

    def loss():
        classes = [run.loss(model, mine[i], pattern, wanted[i]) for _, i in next(drawn)]
        hidden = [masked(others[i], seed, epoch, i) for epoch, i in next(helpers)]
        words = sum(lm_loss(run.forward(model, x), x) for x in hidden)
        return ((1 - ALPHA) * sum(classes) / len(classes)
                + ALPHA * words / sum(counted(x) for x in hidden))

    out.update(train(model, RATE, UPDATES, loss))
    out["heldout_mlm_after"] = run.held_out(model, test)
    for name, rows in zip(("labelled", "unlabelled", "test"), sets):
        out[name] = run.all_scores(model, rows, pattern)
    return out


def weighted(members, chosen, name):
    w = np.array([members[m]["zero_shot"] for m in chosen])
    return np.average([members[m][name].astype(np.float64) for m in chosen], axis=0, weights=w)


def sets_of(run, sets, members):
    """Generation 1's, Schick and Schuetze 2021, 3.4: T's ratio, confidence as probability."""
    t, d, _ = sets
    labels_t = [LABELS.index(run.rows[i][2]) for i in t]
    for m, x in enumerate(members):
        key = x["pattern"] << 16 | x["repetition"]
        teachers = [i for i in range(len(members)) if i != m]
        cloze_random.Stream(SEED, "iPET, teachers", 1, key).shuffle(teachers)
        teachers = sorted(teachers[: round(len(teachers) * SHARE)])
        mean = torch.tensor(weighted(members, teachers, "unlabelled"))
        log_p = torch.log_softmax(mean, 1).numpy()
        stream = cloze_random.Stream(SEED, "iPET, texts", 1, key)
        noise = [-math.log(-math.log1p(-stream.uniform())) for _ in d]
        taken = {}
        for c in range(len(LABELS)):
            pool = [i for i in range(len(d)) if int(mean[i].argmax()) == c]
            pool.sort(key=lambda i: -(log_p[i, c] + noise[i]))
            taken.update((i, c) for i in pool[: labels_t.count(c) * (SCALE - 1)])
        yield {"teachers": teachers, "rows": sorted(taken),
               "labels": [taken[i] for i in sorted(taken)]}


def ensemble(run, sets, members):
    every = range(len(members))
    out = {name: weighted(members, every, name) for name in ("labelled", "unlabelled", "test")}
    gold = [LABELS.index(run.rows[i][2]) for i in sets[2]]
    out["accuracy"] = float(np.mean(out["test"].argmax(1) == gold))
    return out


def student(run, sets, teachers):
    """The classifier that learns from D what the ensemble says there, as its file keeps it."""
    kept = torch.tensor(teachers["unlabelled"].astype(np.float32)).double()
    targets = torch.softmax(kept / TEMPERATURE, 1)
    seed = key_of(SEED, 0, -1, 0)
    model = run.pretrained(-1, seed)
    texts = list(run.inputs(sets[1], -1))
    drawn = batches(len(texts), STUDENT_BATCH, seed)

    def loss():
        batch = [i for _, i in next(drawn)]
        predicted = torch.stack([run.scores(model, texts[i], -1) for i in batch])
        log_p, q = torch.log_softmax(predicted / TEMPERATURE, 1), targets[batch]
        # the published code's divergence, and the entropy of q, which has no gradient: what is
        # reported is their sum, the cross-entropy
        loss = torch.nn.functional.kl_div(log_p, q, reduction="sum") - (q * q.log()).sum()
        return loss * TEMPERATURE**2 / len(batch)

    out = train(model, STUDENT_RATE, UPDATES, loss)
    for name, rows in zip(("labelled", "unlabelled", "test"), sets):
        out[name] = run.all_scores(model, rows, -1)
    gold = [LABELS.index(run.rows[i][2]) for i in sets[2]]
    return targets.numpy(), {**out, "accuracy": float(np.mean(out["test"].argmax(1) == gold))}


def plain(x):
    """For JSON; a matrix is the list of its numbers."""
    if isinstance(x, np.ndarray):
        return [float(v) for v in x.ravel()]
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items()}
    return [plain(v) for v in x] if isinstance(x, list) else x


def main():
    out = pathlib.Path(arguments.out)
    (out / "model").mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer()
    make_model().save_pretrained(out / "model")
    (out / "model" / "generation_config.json").unlink(missing_ok=True)
    tokenizer.save(str(out / "model" / "tokenizer.json"), pretty=False)
    (out / "p.yaml").write_text(PATTERN_FILE)
    train_rows, test_rows = make_data(out)
    t, d = draw_sets(train_rows, test_rows)
    run = Run(out / "model", Kind(tokenizer, "[MASK]", False, [2, 3, 3], 1), train_rows + test_rows)
    sets = (t, d, [len(train_rows) + i for i in range(len(test_rows))])
    labelled = [(i, LABELS.index(train_rows[i][2])) for i in t]
    places = [(p, r) for p in range(len(PATTERNS)) for r in range(REPETITIONS)]
    first = [member(run, sets, (0, p, r), labelled) for p, r in places]
    drawn = list(sets_of(run, sets, first))
    second = [
        member(run, sets, (1, p, r),
               labelled + [(d[i], c) for i, c in zip(drawn[m]["rows"], drawn[m]["labels"])])
        for m, (p, r) in enumerate(places)
    ]
    teachers = ensemble(run, sets, second)
    targets, learned = student(run, sets, teachers)
    versions = {m.__name__: m.__version__ for m in (np, torch, transformers, tokenizers)}
    expected = {"versions": versions, "t": t, "d": d,
                "generations": [{"members": first, "ensemble": ensemble(run, sets, first)},
                                {"members": second, "ensemble": teachers, "sets": drawn}],
                "targets": targets, "student": learned}
    (out / "expected.json").write_text(json.dumps(plain(expected), separators=(",", ":"),
                                                  allow_nan=False) + "\n")
    print("zero-shot", [m["zero_shot"] for m in first], "ensembles",
          [g["ensemble"]["accuracy"] for g in expected["generations"]], "student",
          learned["accuracy"], "sets", [len(s["rows"]) for s in drawn])


if __name__ == "__main__":
    main()
