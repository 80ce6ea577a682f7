#!/usr/bin/env python3
"""Writes the seeds of h5_fuzz into tests/fuzz/corpus/h5: small files with every structure that readers meet.

usage: make_h5_seeds.py [GRIDMILL PROGRAM]   with a program also result.h5, an empty result file of it
"""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import h5py
import numpy

HERE = pathlib.Path(__file__).resolve().parent
CORPUS = HERE / "corpus" / "h5"


def prompts(name, **options):
    with h5py.File(CORPUS / name, "w", **options) as file:
        tokens = numpy.arange(5 * 6, dtype="i4").reshape(5, 6)
        file.create_dataset("prefix_tokens", data=tokens, chunks=(2, 6), compression="gzip", shuffle=True)
        mask = numpy.ones((5, 6), dtype=bool)
        mask[:, 4:] = False
        file.create_dataset("prefix_mask", data=mask)
        file.attrs["made_by"] = "make_h5_seeds.py"


def checkpoint(name):
    """The structure of a checkpoint; its hashes are wrong, which a reader finds last."""
    with h5py.File(CORPUS / name, "w", libver=("earliest", "v108")) as file:
        file.attrs["format"] = "gridmill-checkpoint"
        file.attrs["format_version"] = numpy.int64(1)
        file.attrs["model"] = json.dumps({"family": "llama", "vocab_size": 4})
        file["parameters/layers/0/wq"] = numpy.ones((4, 4), dtype="f4")
        file["parameters/norm"] = numpy.ones(4, dtype="f4")
        file["files/config.json"] = numpy.frombuffer(b"{}", dtype="u1")
        file["hashes"] = numpy.frombuffer(b'{"checkpoint": "0", "parameters": {}}', dtype="u1")


def parameters(name):
    with h5py.File(CORPUS / name, "w") as file:
        file.attrs["config"] = json.dumps({"vocab_size": 8, "embedding_dim": 4})
        file.attrs["model_class"] = "xlstm_jax.models.xLSTMLMModelConfig"
        for layer in range(2):
            file[f"params/block_{layer}/kernel/value"] = numpy.ones((4, 4), dtype="f4")
        file.create_dataset("params/embedding", data=numpy.ones((8, 4), dtype="f2"), chunks=(3, 4), compression="gzip",
                            fletcher32=True)


def result(name, program):
    models = HERE.parent.parent / "models" / "stories260K"
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        (place / "prompts.txt").write_text("Once\nThe\n")
        run = lambda *arguments: subprocess.run([program, *arguments], cwd=folder, check=True)
        run("convert", models / "stories260K.bin", "m.h5", "--tokenizer", models / "tok512.bin")
        run("generate", "--model", "m.h5", "--prompts", "prompts.txt", "--output", "out.h5", "--max-length", "8", "--threads",
            "1", "--progress", "none")
        shutil.copy(place / "out.h5", CORPUS / name)


CORPUS.mkdir(exist_ok=True)
prompts("prompts_old.h5")
prompts("prompts_new.h5", libver="latest")
checkpoint("checkpoint.h5")
parameters("parameters.h5")
if len(sys.argv) > 1:
    result("result.h5", pathlib.Path(sys.argv[1]).resolve())
