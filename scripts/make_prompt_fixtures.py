#!/usr/bin/env python3
"""Writes tests/fixtures/prompts/: small tokenizers of three kinds, and what patterns make of texts.

{bert,roberta,xlmr}.json are tokenizers trained here: WordPiece in small letters, byte-level BPE,
Unigram. {bert,roberta,xlmr}.cases.json hold {"library": versions, "cases": [{"pattern",
"max_length", "fields", and "ids", "types", "rows", "cut" or "refused": true}]}.

Ids are what the Hugging Face library makes of each piece by itself. Pieces, truncation and special
tokens are written here from the published code's description (docs/pet.md 3.1, 3.4), one token at a
time and pattern by pattern: nothing is read from the patterns' text that our program reads.
"""

import argparse
import json
import os
import random
import string

WORDS = """the of and to in a is that for it as was with be by on not he his but at are this have
from or had an they which one you were all her she there would their we him been has when who will
no more if out so up said what its about than into them can only other time new some could these
two may first then do any like my now over such our man me even most made after also did many
good bad great terrible okay yes maybe wrong right true false neither question answer based
following passage news category sports business world tech science summary similar sense because
restaurant really just same word meaning both sentences über größe été мир язык 日本 東京""".split()

MARK = "\u2581"


def corpus():
    draw = random.Random(11)
    for _ in range(600):
        words = [draw.choice(WORDS) for _ in range(12)]
        yield " ".join(w.capitalize() if draw.random() < 0.2 else w for w in words) + draw.choice(
            [".", "!", " ?", ", .", ' "x" (y) - [z]'])


def bert():
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from tokenizers import trainers

    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer(lowercase=True)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    t.train_from_iterator(corpus(), trainers.WordPieceTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=list(string.printable)))
    t.post_processor = processors.BertProcessing(("[SEP]", t.token_to_id("[SEP]")),
                                                 ("[CLS]", t.token_to_id("[CLS]")))
    return t


def roberta():
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from tokenizers import trainers

    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(corpus(), trainers.BpeTrainer(
        vocab_size=600, special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    t.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    t.post_processor = processors.RobertaProcessing(("</s>", t.token_to_id("</s>")),
                                                    ("<s>", t.token_to_id("<s>")))
    return t


def xlmr():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    t = Tokenizer(models.Unigram())
    t.pre_tokenizer = pre_tokenizers.Metaspace()
    t.decoder = decoders.Metaspace()
    t.train_from_iterator(corpus(), trainers.UnigramTrainer(
        vocab_size=400, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        unk_token="<unk>", initial_alphabet=[MARK] + list(string.printable)))
    ids = [(name, t.token_to_id(name)) for name in ("<s>", "</s>")]
    t.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=ids)
    return t


MASK = object()


def cut(text):  # the published remove_final_punc
    return text.rstrip(string.punctuation)


def lower(text):  # the published lowercase_first
    return text[:1].lower() + text[1:]


# Our text of a pattern, and its pieces as the published code would list them: a text, (text, True)
# for what may be shortened, MASK; for the fields a and b of a record.
PATTERNS = [
    ("{mask} : {a*} {b*}", lambda a, b: ([MASK, ":", (a, True), (b, True)], None)),
    ("{mask} News: {a*} {b*}", lambda a, b: ([MASK, "News:", (a, True), (b, True)], None)),
    ("{a*} ( {mask} ) {b*}", lambda a, b: ([(a, True), "(", MASK, ")", (b, True)], None)),
    ("[ Category: {mask} ] {a*} {b*}",
     lambda a, b: (["[ Category:", MASK, "]", (a, True), (b, True)], None)),
    ("{a*} . All in all, it was {mask} .",
     lambda a, b: ([(a, True), ". All in all, it was", MASK, "."], None)),
    ("Just {mask} ! || {a*}", lambda a, b: (["Just", MASK, "!"], [(a, True)])),
    ('" {a*|strip_punctuation} " ? || {mask} , " {b*} "',
     lambda a, b: (['"', (cut(a), True), '" ?'], [MASK, ', "', (b, True), '"'])),
    ("{a*|strip_punctuation} ? || {mask} , {b*}",
     lambda a, b: ([(cut(a), True), "?"], [MASK, ",", (b, True)])),
    ("{b*|strip_punctuation} {a*} || {mask:2} . {b*}",
     lambda a, b: ([(cut(b), True), (a, True)], [MASK, MASK, ".", (b, True)])),
    ("Based on the following passage, {b} ? {mask} . {a*}",
     lambda a, b: (["Based on the following passage,", b, "?", MASK, ".", (a, True)], None)),
    ('" {a*} " Similar sense of "{b|inline}"? {mask} .',
     lambda a, b: (['"', (a, True), '" Similar sense of "' + b + '"?', MASK, "."], None)),
    ("{a|lower_first|strip_punctuation} or {b|lower_first} ? {a*} because {mask:3} .",
     lambda a, b: ([cut(lower(a)), "or", lower(b), "?", (a, True), "because", MASK, MASK, MASK,
                    "."], None)),
]

HOSTILE = [
    "", " ", ".", "?!", "the good man", "The World is great.", "[MASK] and <mask> </s> [SEP] <s>",
    "Ünder über größe", "日本の東京", "\U0001f600 \u200b x", "a\tb\nc", "  two  spaces  ",
    "'quoted'.\"", "z" * 60, "#$%& ##ing", "İstanbul", "ǅ one"
]


def text_of(draw):
    if draw.random() < 0.3:
        return draw.choice(HOSTILE)
    words = [draw.choice(WORDS) for _ in range(draw.randint(0, 25))]
    return " ".join(words).capitalize() + draw.choice(["", ".", "...", " ?", "!"])


def without_special_pieces(t):
    """T, whose model makes no special token of a text: a Unigram vocabulary holds them as pieces,
    and the library takes them; sentencepiece, by which such models are trained, never does. Here
    they get a score that is worse than any other way."""
    from tokenizers import Tokenizer

    tree = json.loads(t.to_str())
    if tree["model"]["type"] != "Unigram":
        return Tokenizer.from_str(t.to_str())
    special = {a["content"] for a in tree["added_tokens"]}
    tree["model"]["vocab"] = [[p, -1e4 if p in special else s] for p, s in tree["model"]["vocab"]]
    return Tokenizer.from_str(json.dumps(tree))


class Kind:
    def __init__(self, tokenizer, mask, byte_level, pair, first_type):
        self.mask, self.byte_level = tokenizer.token_to_id(mask), byte_level
        self.t = without_special_pieces(tokenizer)
        self.pair, self.first_type = pair, first_type
        self.t.encode_special_tokens = True  # what stands in a text is text

    def ids(self, piece):
        text = piece[0] if isinstance(piece, tuple) else piece
        if self.byte_level and text and not text[0].isspace():
            text = " " + text
        return self.t.encode(text, add_special_tokens=False).ids if text else []

    def pieces(self, parts):
        """Ids and whether they may be shortened; pieces without text are left out."""
        return [([self.mask], False) if p is MASK else (self.ids(p), isinstance(p, tuple))
                for p in parts if p is MASK or (p[0] if isinstance(p, tuple) else p)]


def shorten(segment):
    for ids, shortenable in reversed(segment):
        if shortenable and ids:
            ids.pop()
            return


def room(segment):
    return sum(len(ids) for ids, shortenable in segment if shortenable)


def apply(kind, parts_a, parts_b, max_length):
    """Ids, types, rows of masks, tokens cut; None when too little may be cut."""
    a, b = kind.pieces(parts_a), kind.pieces(parts_b or [])
    two = bool(b)  # pieces, not tokens, which may all be cut
    special = len(kind.pair) if two else 2
    excess = sum(len(ids) for ids, _ in a + b) + special - max_length
    taken = 0
    while excess > 0:
        if room(a) + room(b) == 0:
            return None
        shorten(a if room(a) > room(b) else b)
        excess, taken = excess - 1, taken + 1
    flat = [[i for ids, _ in s for i in ids] for s in (a, b)]
    begin, end = kind.pair[0], kind.pair[-1]
    ids, types = [begin] + flat[0] + [end], [0] * (len(flat[0]) + 2)
    if two:
        ids += kind.pair[2:-1] + flat[1] + [end]
        types += [kind.first_type] * (len(ids) - len(types))
    return ids, types, [i for i, x in enumerate(ids) if x == kind.mask], taken


def cases(kind, draw, n):
    for i in range(n):
        pattern, parts = PATTERNS[i % len(PATTERNS)]
        a, b = text_of(draw), text_of(draw)
        if not a.strip() and not b.strip():
            continue
        max_length = draw.choice([26, 30, 34, 40, 64, 200])
        done = apply(kind, *parts(a, b), max_length)
        case = {"pattern": pattern, "max_length": max_length, "fields": [a, b]}
        if done is None:
            yield {**case, "refused": True}
        else:
            yield {**case, **dict(zip(("ids", "types", "rows", "cut"), done))}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    parser.add_argument("--out", default=os.path.join(root, "tests/fixtures/prompts"))
    out = parser.parse_args().out
    import tokenizers  # behind the arguments: --help works without it

    os.makedirs(out, exist_ok=True)
    for name, make, mask, byte_level in (("bert", bert, "[MASK]", False),
                                         ("roberta", roberta, "<mask>", True),
                                         ("xlmr", xlmr, "<mask>", False)):
        t = make()
        t.save(f"{out}/{name}.json", pretty=False)
        first, last = ("[CLS]", "[SEP]") if name == "bert" else ("<s>", "</s>")
        first, last = t.token_to_id(first), t.token_to_id(last)
        pair = [first, last, last] if name == "bert" else [first, last, last, last]
        kind = Kind(t, mask, byte_level, pair, 1 if name == "bert" else 0)
        made = list(cases(kind, random.Random(5), 144))
        with open(f"{out}/{name}.cases.json", "w", encoding="utf-8") as f:
            json.dump({"library": {"tokenizers": tokenizers.__version__}, "cases": made}, f,
                      separators=(",", ":"))
            f.write("\n")
        refused = sum("refused" in c for c in made)
        print(f"{name}: {len(made)} cases, {refused} refused, "
              f"{sum(c.get('cut', 0) > 0 for c in made)} cut")


if __name__ == "__main__":
    main()
