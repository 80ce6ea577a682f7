#!/usr/bin/env python3
"""make_vectors.py SHARED: writes the thinned and the own vectors of this folder.

SHARED has golden/tokenizer and models/tokenizers. Needs sentencepiece 0.2 and tokenizers 0.23 from PyPI.

1. Thinned: every fourth vector of golden/tokenizer that is short, with the tokenizer of the same name.
2. Own: SentencePiece models trained on the lines of this repository's docs with a few rules of normalisation, and a
   tokenizer.json with the Unigram pieces and the charsmap of one of them. Vectors are what the two libraries answer.
"""
import base64
import json
import os
import random
import shutil
import sys
import tempfile

import sentencepiece
import sentencepiece.sentencepiece_model_pb2 as pb
import tokenizers

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "../../..")
RULES = [("\u00a0", " "), ("\u3000", " "), ("\t", " "), ("\n", " "), ("\ufb01", "fi"), ("\u00bd", "1\u20442"), ("\u200b", ""),
         ("\uff21", "A"), ("e\u0301", "\u00e9"), ("\u2026", "..."), ("ab", "ba"), ("abc", "X")]
ALPHABET = list("aeiou bcxyz  .,!?'\u2581\u2581-_0123456789\n\t") + [
    "\u00e9", "e\u0301", "\u4e2d", "\u3042", "\u00bd", "\u00a0", "\u3000", "\u200b", "\u200d", "\ufb01", "\U0001f600", "<sep>", " the",
    " of", "ab", "abc", "\u2026", "\uff21", "   ", "<unk>", "<s>", "\r\n", "\u1100\u1161\u11a8", "\x01"]


def save(name, vectors):
    with open(os.path.join(HERE, name + ".jsonl"), "w") as f:
        f.writelines(json.dumps(vector) + "\n" for vector in vectors)


def thin(shared, name):
    with open(os.path.join(shared, "golden/tokenizer", name + ".jsonl")) as f:
        vectors = [json.loads(line) for line in f]
    save(name, [v for v in vectors if len(json.dumps(v)) < 700][::2])
    os.makedirs(os.path.join(HERE, name), exist_ok=True)
    shutil.copyfile(os.path.join(shared, "models/tokenizers", name, "tokenizer.json"), os.path.join(HERE, name, "tokenizer.json"))


def texts():
    dice = random.Random(7)
    return [""] + ["".join(dice.choice(ALPHABET) for _ in range(dice.randint(1, 14))) for _ in range(120)]


def train(folder, name, **options):
    lines = []
    for doc in ("README.md", "docs/numerics.md", "docs/parallelism.md"):
        with open(os.path.join(ROOT, doc)) as f:
            lines += [line for line in f.read().split("\n") if line.strip()]
    with open(os.path.join(folder, "text"), "w") as f:
        f.write("\n".join(lines))
    with open(os.path.join(folder, "rules.tsv"), "w") as f:
        code_points = lambda text: " ".join(f"{ord(c):X}" for c in text)
        f.write("\n".join(f"{code_points(a)}\t{code_points(b)}" for a, b in RULES))
    prefix = os.path.join(folder, name)
    sentencepiece.SentencePieceTrainer.train(
        input=os.path.join(folder, "text"), model_prefix=prefix, character_coverage=0.99, minloglevel=2, hard_vocab_limit=False,
        normalization_rule_tsv=os.path.join(folder, "rules.tsv"), num_threads=1, **options)
    os.makedirs(os.path.join(HERE, name), exist_ok=True)
    shutil.copyfile(prefix + ".model", os.path.join(HERE, name, "tokenizer.model"))
    processor = sentencepiece.SentencePieceProcessor(model_file=prefix + ".model")
    save(name, [{"kind": "encode", "text": text, "ids": processor.encode(text)} for text in texts()])


def convert(name, source):
    model = pb.ModelProto()
    with open(os.path.join(HERE, source, "tokenizer.model"), "rb") as f:
        model.ParseFromString(f.read())
    content = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(model.normalizer_spec.precompiled_charsmap).decode()},
            {"type": "Strip", "strip_left": True, "strip_right": False}]},
        "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True},
        "post_processor": None,
        "decoder": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True},
        "model": {"type": "Unigram", "unk_id": 0, "vocab": [[p.piece, p.score] for p in model.pieces], "byte_fallback": False}}
    os.makedirs(os.path.join(HERE, name), exist_ok=True)
    with open(os.path.join(HERE, name, "tokenizer.json"), "w") as f:
        json.dump(content, f)
    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(content))
    vectors = []
    for text in texts():
        ids = tokenizer.encode(text).ids
        vectors.append({"kind": "encode", "text": text, "ids": ids, "ids_with_special": ids, "decoded": tokenizer.decode(ids),
                        "decoded_skip_special": tokenizer.decode(ids)})
    save(name, vectors)


for folder in ("metaspace-first", "falcon-style", "bloom-style", "unigram-bytes", "truncation-padding"):
    thin(sys.argv[1], folder)
with tempfile.TemporaryDirectory() as work:
    train(work, "sentencepiece-unigram", model_type="unigram", vocab_size=420, user_defined_symbols=["<sep>", "  "])
    train(work, "sentencepiece-unigram-bytes", model_type="unigram", vocab_size=560, byte_fallback=True, remove_extra_whitespaces=False)
    train(work, "sentencepiece-bpe-rules", model_type="bpe", vocab_size=420)
convert("unigram-rules", "sentencepiece-unigram")
