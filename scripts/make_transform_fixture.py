#!/usr/bin/env python3
"""Makes tests/fixtures/transforms/: classifiers that read records as Radford et al. 2018, section 3.3,
have it, by Hugging Face's GPT-2 and BERT and PyTorch in float64, without dropout.

    /work/torchenv/bin/python scripts/make_transform_fixture.py [OUT] [--seed N]

OUT holds records.tsv, a pattern file for each shape (single, pair, similarity, choice), two folders
a family (with a number a label, and with one number for choices), and FAMILY.SHAPE.safetensors:
logits [records, labels], loss and gradients of hard targets, and soft.loss and soft.grad.NAME of soft
ones at a temperature of 2, with the targets `soft` [records, labels]. BERT has similarity and choice.

Texts are put together here, a token at a time, and go through the model one at a time, so no padding
enters; weights are stored in float32. Needs torch, transformers, tokenizers, safetensors, numpy."""

import argparse
import pathlib
import random

arguments = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
arguments.add_argument("out", nargs="?", default="tests/fixtures/transforms", metavar="OUT")
arguments.add_argument("--seed", type=int, default=18, help="of weights and texts")
arguments = arguments.parse_args()  # before packages that may be missing

import json

import tokenizers
import torch
import transformers
from safetensors.torch import save_file
from tokenizers import models, pre_tokenizers, processors

MAX_LENGTH, RECORDS, TEMPERATURE = 11, 7, 2.0
WORDS = "the a cat dog sat ran on mat who what because so it was good bad".split()
GPT, BERT = ["<start>", "<delimiter>", "<extract>"], ["[PAD]", "[CLS]", "[SEP]"]
FILES = {
    "single": "fields: {a: a}\nlabels: [x, y, z]\n",
    "pair": "fields: {a: a, b: b}\nlabels: [x, y, z]\ninput: pair\n",
    "similarity": "fields: {a: a, b: b}\nlabels: [x, y, z]\ninput: similarity\n",
    "choice": "fields: {a: a, b: b, c: c}\nlabel_column: right\nlabels: [0, 1]\ninput: choice\n",
}


def make_tokenizer(special):
    t = tokenizers.Tokenizer(
        models.WordLevel({w: i for i, w in enumerate(["<unk>", *special, *WORDS])}, "<unk>")
    )
    t.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    t.add_special_tokens(special)
    if special is BERT:
        t.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return t


def make_records():
    """The last but one has an empty second text, the last long ones."""
    draw, rows = random.Random(arguments.seed), []
    for i in range(RECORDS):
        n = [draw.randrange(1, 5) for _ in range(3)]
        if i >= RECORDS - 2:
            n = [2, 0, 3] if i == RECORDS - 2 else [14, 9, 6]
        texts = [" ".join(draw.choice([*WORDS, "<extract>", "[SEP]"]) for _ in range(k)) for k in n]
        rows.append([*texts, draw.choice("xyz"), draw.choice("01")])
    return rows


def room(a, b, special):
    """docs/pet.md 3.4: a token at a time from the longer text, the second where both are as long."""
    a, b = list(a), list(b)
    while len(a) + len(b) + special > MAX_LENGTH:
        (a if len(a) > len(b) else b).pop()
    return a, b


def gpt_one(ids, a):
    return [ids("<start>"), *room(a, [], 2)[0], ids("<extract>")]


def gpt_two(ids, a, b):
    a, b = room(a, b, 3)
    return [ids("<start>"), *a, ids("<delimiter>"), *b, ids("<extract>")]


def bert_two(ids, a, b):
    a, b = room(a, b, 3)
    return [ids("[CLS]"), *a, ids("[SEP]"), *b, ids("[SEP]")]


def sequences(shape, two, t, record):
    def text(words):  # what spells a special token is text, here an unknown word
        plain = [w if w in WORDS else "<unk>" for w in words.split()]
        return [t.token_to_id(w) for w in plain]

    a, b, c = map(text, record[:3])
    ids = t.token_to_id
    if shape == "single" or (shape == "pair" and not b):
        return [gpt_one(ids, a)]
    if shape == "pair":
        return [two(ids, a, b)]
    return [two(ids, a, b), two(ids, b, a) if shape == "similarity" else two(ids, a, c)]


def gpt_scores(model, shape, inputs):
    if shape == "similarity":
        states = [model.transformer(torch.tensor([x])).last_hidden_state[0, -1] for x in inputs]
        return model.score(states[0] + states[1])
    logits = [model(torch.tensor([x])).logits[0] for x in inputs]
    return logits[0] if shape != "choice" else torch.cat(logits)


def bert_scores(model, shape, inputs):
    types = [[0] * (x.index(3) + 1) + [1] * (len(x) - x.index(3) - 1) for x in inputs]
    both = [(torch.tensor([x]), torch.tensor([y])) for x, y in zip(inputs, types)]
    if shape == "similarity":
        pooled = [model.bert(x, token_type_ids=y).pooler_output[0] for x, y in both]
        return model.classifier(pooled[0] + pooled[1])
    return torch.cat([model(x[None], token_type_ids=y[None]).logits[0] for x, y in both])


def backward(loss, model, prefix):
    model.zero_grad()
    loss.backward(retain_graph=True)
    out = {f"{prefix}loss": loss.detach().reshape(1)}
    for name, p in model.named_parameters():
        out[f"{prefix}grad.{name}"] = p.grad.clone().contiguous()
    return out


def expected(model, scores_of, shape, two, t, records):
    labels = FILES[shape].split("labels: [")[1].split("]")[0].split(", ")
    hard = torch.tensor([labels.index(r[4 if shape == "choice" else 3]) for r in records])
    scores = torch.stack([scores_of(model, shape, sequences(shape, two, t, r)) for r in records])
    torch.manual_seed(3)
    soft = torch.softmax(torch.randn(len(records), len(labels), dtype=torch.float64), -1)
    out = backward(torch.nn.functional.cross_entropy(scores, hard), model, "")
    log_p = torch.log_softmax(scores / TEMPERATURE, -1)
    out |= backward(-(TEMPERATURE**2) * (soft * log_p).sum() / len(records), model, "soft.")
    return out | {"logits": scores.detach(), "soft": soft}


def shake(model):
    torch.manual_seed(arguments.seed)
    for name, p in model.named_parameters():
        gain = p.dim() == 1 and name.endswith("weight")
        p.data = (1 if gain else 0) + torch.randn_like(p) * (0.1 if gain else 0.4)
    return model


def gpt_of(numbers, size):
    return shake(transformers.GPT2ForSequenceClassification(transformers.GPT2Config(
        vocab_size=size, n_positions=MAX_LENGTH, n_embd=8, n_layer=2, n_head=2, n_inner=12,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=1, eos_token_id=3,
        num_labels=numbers)))


def bert_of(numbers, size):
    kind = "SequenceClassification" if numbers > 1 else "MultipleChoice"
    return shake(getattr(transformers, "BertFor" + kind)(transformers.BertConfig(
        vocab_size=size, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=12, max_position_embeddings=MAX_LENGTH, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, layer_norm_eps=1e-12, num_labels=numbers)))


def save(model, folder, t, special):
    model.save_pretrained(folder)
    t.save(str(folder / "tokenizer.json"))
    if special is GPT:
        roles = dict(zip(("bos_token", "sep_token", "cls_token"), GPT))
        (folder / "tokenizer_config.json").write_text(json.dumps(roles) + "\n")
    config = json.loads((folder / "config.json").read_text())
    # BERT's for choices goes by the class whose tensors it shares
    config["architectures"] = [config["architectures"][0].replace("MultipleChoice",
                                                                  "SequenceClassification")]
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")


def main():
    out = pathlib.Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    records = make_records()
    lines = ["\t".join(r) for r in [["a", "b", "c", "label", "right"], *records]]
    (out / "records.tsv").write_text("\n".join(lines) + "\n")
    for shape, text in FILES.items():
        (out / f"{shape}.yaml").write_text(text)
    families = [("gpt2", GPT, gpt_of, gpt_scores, gpt_two, list(FILES)),
                ("bert", BERT, bert_of, bert_scores, bert_two, ["similarity", "choice"])]
    for name, special, model_of, scores_of, two, shapes in families:
        t = make_tokenizer(special)
        for numbers in (3, 1):
            model = model_of(numbers, t.get_vocab_size())
            save(model, out / f"{name}.{numbers}", t, special)
            model = model.double().eval()
            for shape in shapes:
                if (shape == "choice") == (numbers == 1):
                    tensors = expected(model, scores_of, shape, two, t, records)
                    save_file(tensors, out / f"{name}.{shape}.safetensors")
    versions = {m.__name__: m.__version__ for m in (torch, transformers, tokenizers)}
    (out / "versions.json").write_text(json.dumps(versions) + "\n")


if __name__ == "__main__":
    main()
