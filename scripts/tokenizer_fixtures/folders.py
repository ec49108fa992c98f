#!/usr/bin/env python3
"""Writes tests/fixtures/text/folders/NAME/: folders of the files that tokenizers had before there
was a tokenizer.json (vocab.txt; vocab.json and merges.txt; a SentencePiece model), with the
settings beside them, and expected.json, the tokenizer.json that transformers makes of each.

Needs transformers, sentencepiece and protobuf. This program follows the published files and not
transformers 5 where a mask takes the space before it; the settings here say which it is.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
sys.path.insert(0, os.path.dirname(__file__))
os.environ["HF_HUB_OFFLINE"] = "1"

import bpe  # noqa: E402
import make_tokenizer_fixtures as base  # noqa: E402

MASK = {
    "content": "<mask>",
    "lstrip": True,
    "normalized": False,
    "rstrip": False,
    "single_word": False,
    "special": True,
    "__type": "AddedToken",
}
WORDS = ["the", "man", "##s", "##ing", "of", "é", "日", "!", "x", "house", "##e"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def lines(items, end="\n"):
    return "".join(x + end for x in items)


def sentencepiece_model(size, **options):
    import sentencepiece as spm

    with tempfile.TemporaryDirectory() as d:
        with open(d + "/rules.tsv", "w", encoding="utf-8") as f:
            for a, b in base.RULES[:12]:
                f.write(" ".join("%X" % ord(c) for c in a) + "\t")
                f.write(" ".join("%X" % ord(c) for c in b) + "\n")
        with open(d + "/text", "w", encoding="utf-8") as f:
            f.write("\n".join(base.train_text(1, 400)))
        spm.SentencePieceTrainer.train(
            input=d + "/text",
            model_prefix=d + "/m",
            vocab_size=size,
            normalization_rule_tsv=d + "/rules.tsv",
            minloglevel=2,
            num_threads=1,
            hard_vocab_limit=False,
            **options,
        )
        with open(d + "/m.model", "rb") as f:
            return f.read()


def folders():
    """name -> (class of transformers, {file: content})"""
    vocab, merges = bpe.train(base.train_text(6, 800), 300, ["<|endoftext|>"])
    gpt2 = {
        "vocab.json": json.dumps(vocab, ensure_ascii=False),
        "merges.txt": "#version: 0.2\n" + lines(bpe.strings(merges)),
    }
    vocab, merges = bpe.train(base.train_text(6, 800), 300, ["<s>", "<pad>", "</s>", "<unk>"])
    vocab["<mask>"] = len(vocab)
    roberta = {
        "vocab.json": json.dumps(vocab),
        "merges.txt": "#version: 0.2\n" + lines(bpe.strings(merges)),
    }
    t5 = sentencepiece_model(200, pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    user = sentencepiece_model(
        200, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, user_defined_symbols=["<sep>", "ing"]
    )
    albert = sentencepiece_model(
        200, pad_id=0, unk_id=1, bos_id=-1, eos_id=-1, control_symbols="[CLS],[SEP],[MASK]"
    )
    albert_mask = dict(MASK, content="[MASK]", lstrip=False)

    def with_settings(files, **settings):
        return dict(files, **{"tokenizer_config.json": json.dumps(settings, indent=1)})

    listed = {"4": dict(MASK, content="[MASK]"), "5": dict(MASK, content="the", special=False)}
    return {
        "bert": ("BertTokenizer", {"vocab.txt": lines(SPECIAL + WORDS)}),
        "bert_cased": (
            "BertTokenizer",
            with_settings(
                {"vocab.txt": lines(["a  "] + SPECIAL + WORDS + ["", "\u3000z\t"], "\r\n")},
                tokenizer_class="BertTokenizerFast",
                do_lower_case=False,
                strip_accents=True,
                tokenize_chinese_chars=False,
            ),
        ),
        "bert_more": (
            "DistilBertTokenizer",
            with_settings(
                {"vocab.txt": lines(["[PAD]", "[UNK]", "<c>", "<s>"] + WORDS)},
                tokenizer_class="DistilBertTokenizer",
                cls_token="<c>",
                sep_token={"content": "<s>", "__type": "AddedToken", "rstrip": True},
                additional_special_tokens=["[NEW]"],
            ),
        ),
        "bert_listed": (
            "BertTokenizer",
            with_settings(
                {"vocab.txt": lines(SPECIAL + WORDS), "config.json": '{"model_type": "bert"}'},
                added_tokens_decoder=listed,
            ),
        ),
        "gpt2": ("GPT2Tokenizer", gpt2),
        "gpt2_ends": (
            "GPT2Tokenizer",
            with_settings(
                gpt2,
                tokenizer_class="GPT2Tokenizer",
                add_bos_token=True,
                add_prefix_space=True,
                pad_token="<pad>",
            ),
        ),
        "roberta": (
            "RobertaTokenizer",
            with_settings(roberta, mask_token=MASK, add_prefix_space=True, trim_offsets=False),
        ),
        "t5": (
            "T5Tokenizer",
            with_settings({"spiece.model": t5}, extra_ids=5, tokenizer_class="T5Tokenizer"),
        ),
        "t5_user": ("T5Tokenizer", with_settings({"spiece.model": user}, extra_ids=3)),
        "albert": (
            "AlbertTokenizer",
            with_settings({"spiece.model": albert}, mask_token=albert_mask),
        ),
        "albert_cased": (
            "AlbertTokenizer",
            with_settings(
                {"spiece.model": albert},
                tokenizer_class="AlbertTokenizer",
                do_lower_case=False,
                keep_accents=True,
                mask_token=albert_mask,
            ),
        ),
        "xlmr": (
            "XLMRobertaTokenizer",
            with_settings({"sentencepiece.bpe.model": sentencepiece_model(200)}, mask_token=MASK),
        ),
    }


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument(
        "--out",
        default=os.path.join(
            os.path.dirname(__file__), "..", "..", "tests", "fixtures", "text", "folders"
        ),
    )
    args = p.parse_args()
    import transformers

    for name, (class_name, files) in folders().items():
        folder = os.path.join(args.out, name)
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        for file, content in files.items():
            data = content if isinstance(content, bytes) else content.encode()
            with open(os.path.join(folder, file), "wb") as f:
                f.write(data)
        t = getattr(transformers, class_name).from_pretrained(folder)
        made = json.loads(t._tokenizer.to_str())
        with open(os.path.join(folder, "expected.json"), "w", encoding="utf-8") as f:
            json.dump(made, f, ensure_ascii=False, separators=(",", ":"))
            f.write("\n")
        print("%-12s %d ids" % (name, t._tokenizer.get_vocab_size()))


if __name__ == "__main__":
    main()
