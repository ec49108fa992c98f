#!/usr/bin/env python3
"""Makes experiments/quickstart/random_bert, a BERT of random weights with words of the sample texts:
what `experiments/quickstart-pet.yaml --scale test` starts from where there is no network. Its scores
mean nothing. The same bytes from the same sample.

    scripts/make_random_bert.py [--out DIR]
"""
import argparse
import collections
import json
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SAMPLE = os.path.join(ROOT, "experiments", "quickstart", "sample")
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
# label words and words of patterns that must be one token each
WANTED = ("games science sound graphics font type mail math database video web category software in "
          "summary it is about").split()
WORDS, WIDTH, FEED_FORWARD, LAYERS, HEADS, POSITIONS = 600, 32, 64, 1, 2, 128


def vocabulary():
    counts, characters = collections.Counter(), set()
    with open(os.path.join(SAMPLE, "section.train.tsv"), encoding="utf-8") as f:
        for line in f:
            text = line.split("\t")[0].lower()
            counts.update(re.findall(r"[a-z]+", text))
            characters.update(c for c in text if " " < c < "\x7f")
    frequent = [w for w, _ in sorted(counts.items(), key=lambda p: (-p[1], p[0])) if len(w) > 1]
    words = sorted(set(WANTED) | set(frequent[:WORDS]))
    return SPECIAL + sorted(characters) + ["##" + c for c in sorted(characters)] + words


def tokenizer(tokens):
    ids = {t: i for i, t in enumerate(tokens)}

    def special(token, kind):
        return {"SpecialToken": {"id": token, "type_id": kind}}

    def sequence(name, kind):
        return {"Sequence": {"id": name, "type_id": kind}}

    single = [special("[CLS]", 0), sequence("A", 0), special("[SEP]", 0)]
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": ids[t], "content": t, "single_word": False, "lstrip": False,
                          "rstrip": False, "normalized": False, "special": True} for t in SPECIAL],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                       "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing", "single": single,
            "pair": single + [sequence("B", 1), special("[SEP]", 1)],
            "special_tokens": {t: {"id": t, "ids": [ids[t]], "tokens": [t]}
                               for t in ("[CLS]", "[SEP]")}},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": ids}}


def weights(size):
    import numpy as np
    random, out = np.random.Generator(np.random.PCG64(1)), {}

    def matrix(name, rows, columns):
        out[name] = random.normal(0, 0.02, (rows, columns)).astype(np.float16)

    def linear(name, rows, columns):
        matrix(name + ".weight", rows, columns)
        out[name + ".bias"] = np.zeros(rows, np.float16)

    def norm(name):
        out[name + ".weight"] = np.ones(WIDTH, np.float16)
        out[name + ".bias"] = np.zeros(WIDTH, np.float16)

    matrix("bert.embeddings.word_embeddings.weight", size, WIDTH)
    matrix("bert.embeddings.position_embeddings.weight", POSITIONS, WIDTH)
    matrix("bert.embeddings.token_type_embeddings.weight", 2, WIDTH)
    norm("bert.embeddings.LayerNorm")
    for i in range(LAYERS):
        layer = f"bert.encoder.layer.{i}."
        for part in ("query", "key", "value"):
            linear(layer + "attention.self." + part, WIDTH, WIDTH)
        linear(layer + "attention.output.dense", WIDTH, WIDTH)
        norm(layer + "attention.output.LayerNorm")
        linear(layer + "intermediate.dense", FEED_FORWARD, WIDTH)
        linear(layer + "output.dense", WIDTH, FEED_FORWARD)
        norm(layer + "output.LayerNorm")
    linear("cls.predictions.transform.dense", WIDTH, WIDTH)
    norm("cls.predictions.transform.LayerNorm")
    out["cls.predictions.bias"] = np.zeros(size, np.float16)
    return out


def write_json(folder, name, value, indent=1):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
        json.dump(value, f, indent=indent, ensure_ascii=False)
        f.write("\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=os.path.join(ROOT, "experiments", "quickstart",
                                                      "random_bert"))
    out = parser.parse_args().out
    from safetensors.numpy import save_file
    os.makedirs(out, exist_ok=True)
    tokens = vocabulary()
    write_json(out, "tokenizer.json", tokenizer(tokens), indent=None)
    write_json(out, "tokenizer_config.json",
               {"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": True,
                "model_max_length": POSITIONS, "unk_token": "[UNK]", "pad_token": "[PAD]",
                "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"})
    write_json(out, "config.json",
               {"architectures": ["BertForMaskedLM"], "model_type": "bert",
                "vocab_size": len(tokens), "hidden_size": WIDTH, "num_hidden_layers": LAYERS,
                "num_attention_heads": HEADS, "intermediate_size": FEED_FORWARD,
                "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
                "attention_probs_dropout_prob": 0.1, "max_position_embeddings": POSITIONS,
                "type_vocab_size": 2, "initializer_range": 0.02, "layer_norm_eps": 1e-12,
                "pad_token_id": 0, "position_embedding_type": "absolute"})
    save_file(weights(len(tokens)), os.path.join(out, "model.safetensors"),
              metadata={"format": "pt"})
    print(f"{out}: {len(tokens)} tokens")


if __name__ == "__main__":
    main()
