#!/usr/bin/env python3
"""What weights of 8 and 4 bits cost: loss on text, and agreement of greedy rows, for the shipped models.

usage: python3 tests/accuracy/codes.py [GRIDMILL]        (build/release/src/gridmill; needs numpy and h5py)

The text is drawn from each model itself in fp32 at temperature 1, so that the loss above that of fp32 is the
divergence of the rounded model from the whole one, in nats a token; its error is that of the difference. Beside
gridmill's formats stand Q8_0 and Q4_0, made as llama.cpp makes them (groups of 32, fp16 scales: largest magnitude
over 127, or the value of largest magnitude over -8) of the same matrices; their values run in bf16, which favours
them: llama.cpp rounds inputs to 8 bits, too. Prints two Markdown tables.
"""
import json
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

import h5py
import numpy

ROOT = pathlib.Path(__file__).resolve().parents[2]
GRIDMILL = str(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build/release/src/gridmill").resolve())
ROWS, LENGTH, GREEDY_ROWS, GREEDY_TOKENS = 192, 200, 24, 200


def run(*arguments):
    subprocess.run([GRIDMILL, *map(str, arguments)], check=True, stderr=subprocess.DEVNULL)


def q8_0(group):
    scale = numpy.float32(numpy.float16(numpy.abs(group).max() / 127))
    return numpy.zeros_like(group) if scale == 0 else numpy.rint(group / scale).clip(-127, 127) * scale


def q4_0(group):
    scale = numpy.float32(numpy.float16(group[numpy.abs(group).argmax()] / -8))
    return numpy.zeros_like(group) if scale == 0 else (numpy.floor(group / scale + 8.5).clip(0, 15) - 8) * scale


def rounded(matrix, rule):
    result = matrix.copy()
    for row in result:
        for first in range(0, len(row), 32):
            row[first:first + 32] = rule(row[first:first + 32])
    return result


class Stories:
    """A llama2.c file: header of 7 int32, then fp32."""
    name = "stories260K"
    folder = ROOT / "models/stories260K"

    def write(self, target, rule):
        data = bytearray((self.folder / "stories260K.bin").read_bytes())
        width, hidden, layers, heads, kv_heads, vocabulary, _ = struct.unpack("7i", data[:28])
        kv_width = width // heads * kv_heads
        at = 28 + 4 * (abs(vocabulary) * width + layers * width)
        for rows, columns, norms in [(width, width, 0), (kv_width, width, 0), (kv_width, width, 0), (width, width, layers * width),
                                     (hidden, width, 0), (width, hidden, 0), (hidden, width, 0)]:
            size = 4 * layers * rows * columns
            matrix = numpy.frombuffer(bytes(data[at:at + size]), "<f4").reshape(-1, columns)
            data[at:at + size] = rounded(matrix, rule).astype("<f4").tobytes()
            at += size + 4 * norms
        target.write_bytes(data)

    def convert(self, source, target, *options):
        run("convert", source or self.folder / "stories260K.bin", target, "--tokenizer", self.folder / "tok512.bin", *options)

    def variant(self, folder, rule):
        path = folder / "variant.bin"
        self.write(path, rule)
        return path


class Shakespeare:
    """A Hugging Face folder with one safetensors file."""
    name = "tiny-xlstm-shakespeare"
    folder = ROOT / "models/tiny-xlstm-shakespeare"

    def convert(self, source, target, *options):
        run("convert", source or self.folder, target, *options)

    def variant(self, folder, rule):
        path = folder / "variant"
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(self.folder, path)
        data = bytearray((path / "model.safetensors").read_bytes())
        length, = struct.unpack("<Q", data[:8])
        header = json.loads(data[8:8 + length])
        for name, tensor in header.items():
            gate = "igate" in name or "fgate" in name
            if name == "__metadata__" or len(tensor["shape"]) != 2 or gate or "embedding" in name or "lm_head" in name:
                continue
            assert tensor["dtype"] == "F32", tensor
            begin, end = (8 + length + offset for offset in tensor["data_offsets"])
            matrix = numpy.frombuffer(bytes(data[begin:end]), "<f4").reshape(tensor["shape"])
            data[begin:end] = rounded(matrix, rule).astype("<f4").tobytes()
        (path / "model.safetensors").write_bytes(data)
        return path


def scored(model, prompts, folder, *options):
    """Loss of every row, and its tokens."""
    run("score", "--model", model, "--prompts", prompts, "--output", folder / "s.h5", *options)
    with h5py.File(folder / "s.h5") as file:
        loss, tokens = -file["sum_logprob"][:], file["length"][:] - 1
    (folder / "s.h5").unlink()
    return loss, tokens


def greedy(model, prompts, folder, *options):
    run("generate", "--model", model, "--prompts", prompts, "--output", folder / "g.h5", "--temperature", 0, "--ignore-eos",
        "--max-length", 8 + GREEDY_TOKENS, "--progress", "none", *options)
    with h5py.File(folder / "g.h5") as file:
        tokens = file["tokens"][:]
    for path in folder.glob("g.h5*"):
        path.unlink()
    return tokens[:, 8:]


def prompts_of(tokens, lengths, path):
    with h5py.File(path, "w") as file:
        file["prefix_tokens"] = tokens.astype("int32")
        file["prefix_mask"] = (numpy.arange(tokens.shape[1]) < lengths[:, None]).astype("uint8")


def measure(model, folder):
    model.convert(None, folder / "fp32.h5", "--dtype", "fp32")
    (folder / "empty.txt").write_text("\n")
    run("generate", "--model", folder / "fp32.h5", "--prompts", folder / "empty.txt", "--output", folder / "text.h5", "--seed", 5,
        "--samples-per-prompt", ROWS, "--ignore-eos", "--max-length", LENGTH, "--progress", "none")
    with h5py.File(folder / "text.h5") as file:
        text, lengths = file["tokens"][:], file["rows"]["length"].astype("int64")
    prompts_of(text, lengths, folder / "text-prompts.h5")
    prompts_of(text[:GREEDY_ROWS, :8], numpy.full(GREEDY_ROWS, 8), folder / "greedy-prompts.h5")
    whole, tokens = scored(folder / "fp32.h5", folder / "text-prompts.h5", folder)
    whole_greedy = greedy(folder / "fp32.h5", folder / "greedy-prompts.h5", folder, "--compute-dtype", "bf16")
    print(f"\n| {model.name}: {tokens.sum()} tokens, fp32 {whole.sum() / tokens.sum():.4f} nats a token | loss above fp32, nats a token | +- "
          f"| greedy tokens of {GREEDY_TOKENS} as with bf16, mean until the first other one |\n|---|---|---|---|")
    variants = [("bf16", None, [], ["--compute-dtype", "bf16"]),
                ("Q8_0", q8_0, [], ["--compute-dtype", "bf16"]),
                ("int8", None, ["--weights", "int8"], []),
                ("Q4_0", q4_0, [], ["--compute-dtype", "bf16"]),
                ("int4", None, ["--weights", "int4"], [])]
    for label, rule, convert, options in variants:
        source = model.variant(folder, rule) if rule else None
        model.convert(source, folder / "variant.h5", "--dtype", "fp32", *convert)
        loss, _ = scored(folder / "variant.h5", folder / "text-prompts.h5", folder, *options)
        difference = (loss - whole) / tokens.mean()
        same = greedy(folder / "variant.h5", folder / "greedy-prompts.h5", folder, *options) == whole_greedy
        agreed = numpy.where(same.all(axis=1), same.shape[1], (~same).argmax(axis=1)).mean()
        print(f"| {label} | {difference.mean():.5f} | {difference.std() / len(difference) ** 0.5:.5f} | {agreed:.0f} |", flush=True)


def main():
    with tempfile.TemporaryDirectory() as name:
        for model in (Stories(), Shakespeare()):
            folder = pathlib.Path(name) / model.name
            folder.mkdir()
            measure(model, folder)


if __name__ == "__main__":
    main()
