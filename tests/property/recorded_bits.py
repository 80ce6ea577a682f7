"""Result files of today have the bits of tests/data/recorded_bits.txt, which the program of commit 002db03 wrote.

usage: recorded_bits.py BUILD_DIR RECORD [--record]

Runs generate (continuous batching and lockstep) and score on one rank, with the shipped models and with checkpoints of small
random models that were written by the same commit (tests/data/recorded_checkpoints.tar.xz: those of
tests/support/tiny_models.hpp, by `make_models --tiny` as it stands in commit 9a2b727, built with src/ and tests/support of
002db03; later code lists parameters in another order). Each line of RECORD is the SHA-256 of one dataset of one result file.
The hash covers values that may never change: tokens, log-probabilities, sums, masks and the fields kFields of rows.
It leaves out the root attributes (`job` may gain fields, `format_version` may rise), the wording of failures, the file
layout and the checksums. A new dataset is no difference.
--record writes RECORD instead of comparing. Do that only to add runs, and check that no old line changes.
"""
import concurrent.futures
import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile

import h5py
import numpy

kFields = ["status", "finish_reason", "prompt_index", "sample_index", "prefix_length", "length"]
kDone = 1
kSource = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))

kTexts = {
    "stories260K": ["Once upon a time, there was a little girl", "One day, a big dog", "", "Ben had a red ball. He"],
    "shakespeare": ["KING RICHARD III:\n", "ROMEO:\nMy love", "", "First Citizen:\nBefore we proceed"],
}
kTiny = ["llama", "llama_full", "xlstm", "xlstm_full", "xlstm_bare", "xlstm_older", "xlstm_older_conv"]
kGreedy = ["--temperature", "0"]
kSampled = ["--temperature", "0.8", "--seed", "5", "--samples-per-prompt", "2"]


def prompts_of(model):
    return model + ".jsonl" if model in kTexts else "prompts.h5"


def generate(model, dtype, *options):
    length = "80" if model in kTexts else "56"
    return ["generate", "--model", model + ".h5", "--prompts", prompts_of(model), "--compute-dtype", dtype,
            "--max-length", length, "--progress", "none", "--allow-failed-rows", *options]


def score(model, dtype, *options):
    return ["score", "--model", model + ".h5", "--prompts", prompts_of(model), "--compute-dtype", dtype, *options]


def lockstep(model, dtype, prompts, *options):
    return ["generate", "--lockstep", "--model", model + ".h5", "--prompts", prompts, "--compute-dtype", dtype,
            "--max-length", "48", "--progress", "none", "--allow-failed-rows", *options]


def runs():
    """Name and arguments of every run; --output and --threads are added."""
    for model in kTexts:
        for dtype in ("fp32", "bf16"):
            yield f"{model} {dtype} greedy", generate(model, dtype, *kGreedy, "--param-dtype", dtype)
            yield f"{model} {dtype} sampled logprobs", generate(model, dtype, *kSampled, "--logprobs")
        yield f"{model} fp32 score", score(model, "fp32")
    for model in kTiny:
        yield f"{model} fp32 greedy logprobs", generate(model, "fp32", *kGreedy, "--logprobs", "--slots", "3")
        yield f"{model} bf16 sampled logprobs", generate(model, "bf16", *kSampled, "--logprobs", "--slots", "5")
        yield f"{model} fp32 score logits", score(model, "fp32", "--logits")
    for model in ("llama_full", "xlstm"):
        yield f"{model} fp32 eod", generate(model, "fp32", "--seed", "3", "--eod-token-id", "7", "--eod-token-id", "250")
        yield f"{model} bf16 score logits", score(model, "bf16", "--logits")
        yield f"{model} fp32 lockstep greedy", lockstep(model, "fp32", "prompts.h5", *kGreedy, "--batch-size", "4")
        for rng in (["jax", "classic"], ["jax", "partitionable"], ["philox", "classic"]):
            yield (f"{model} bf16 lockstep {' '.join(rng)}",
                   lockstep(model, "bf16", "holes.h5", "--seed", "9", "--rng", rng[0], "--jax-threefry", rng[1],
                            "--batch-size", "4"))


def write_inputs(folder, gridmill):
    """Checkpoints and prompts; every number is fixed here or in the repository."""
    models = os.path.join(kSource, "models")
    quiet = {"check": True, "cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    subprocess.run([gridmill, "convert", f"{models}/stories260K/stories260K.bin", "stories260K.h5", "--tokenizer",
                    f"{models}/stories260K/tok512.bin"], **quiet)
    subprocess.run([gridmill, "convert", f"{models}/tiny-xlstm-shakespeare", "shakespeare.h5"], **quiet)
    with tarfile.open(os.path.join(kSource, "tests/data/recorded_checkpoints.tar.xz")) as archive:
        for model in kTiny:
            archive.extract(model + ".h5", folder)
    for model, texts in kTexts.items():
        with open(os.path.join(folder, model + ".jsonl"), "w", encoding="utf-8") as file:
            for text in texts:
                file.write('{"prompt": "%s"}\n' % text.replace("\n", "\\n"))
            file.write('{"no": "prompt"}\n')  # a failed row
    prompt = numpy.arange(8)[:, None]
    place = numpy.arange(24)[None, :]
    tokens = ((prompt * 7919 + place * place * 31 + place * 104729 + 17) % 300).astype(numpy.int32)
    ones = (place < 1 + prompt * 5 % 24).astype(numpy.uint8)
    holes = ones * ((prompt + place * 3) % 5 != 0).astype(numpy.uint8)
    for name, mask in (("prompts.h5", ones), ("holes.h5", holes)):
        with h5py.File(os.path.join(folder, name), "w") as file:
            file["prefix_tokens"] = tokens
            file["prefix_mask"] = mask


def hashes_of(path):
    """Name and SHA-256 of what every dataset of a result or score file says."""
    with h5py.File(path, "r") as file:
        if "rows" in file and not (file["rows"]["status"] == kDone).sum() >= 4:
            sys.exit(f"recorded_bits.py: {path} has fewer than 4 rows that are done")
        for name in sorted(set(file) - {"failure"}):
            values = file[name][...]
            digest = hashlib.sha256()
            for part in ([values[field] for field in kFields] if name == "rows" else [values]):
                digest.update(f"{part.shape} {part.dtype.newbyteorder('<').str}\n".encode())
                digest.update(numpy.ascontiguousarray(part, part.dtype.newbyteorder("<")).tobytes())
            yield name, digest.hexdigest()


def run(gridmill, folder, number, arguments):
    output = os.path.join(folder, f"out{number}.h5")
    command = [gridmill, *arguments, "--output", output, "--threads", "1", "--log-level", "error"]
    # A score file with a prompt that cannot be used ends with 1.
    done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        sys.exit(f"recorded_bits.py: {' '.join(command)} left with {done.returncode}: {done.stderr}")
    return list(hashes_of(output))


def main():
    build, record = sys.argv[1:3]
    gridmill = os.path.realpath(os.path.join(build, "src/gridmill"))
    lines = []
    # Memory is disk enough, and does not wait for other tests that write.
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=memory) as folder, concurrent.futures.ThreadPoolExecutor(2) as pool:
        write_inputs(folder, gridmill)
        names, commands = zip(*runs())
        results = pool.map(lambda job: run(gridmill, folder, *job), enumerate(commands))
        for name, hashes in zip(names, results):
            lines += [f"{digest}  {name}: {dataset}" for dataset, digest in hashes]
    if "--record" in sys.argv[3:]:
        with open(record, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        print(f"{len(lines)} datasets of {len(names)} result files recorded")
        return
    with open(record, encoding="utf-8") as file:
        recorded = file.read().splitlines()
    lost = [line for line in recorded if line not in set(lines)]
    for line in lost:
        print(f"DIFFERS from the record: {line.partition('  ')[2]}")
    print(f"{len(recorded) - len(lost)} of {len(recorded)} recorded datasets are the same")
    sys.exit(1 if lost or not recorded else 0)


main()
