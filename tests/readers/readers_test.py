"""Result files open with plain h5py, pandas and Hugging Face datasets, while a job writes them and when it is done.

usage: readers_test.py GRIDMILL_PROGRAM
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")
FOLDER = tempfile.TemporaryDirectory(prefix="gridmill-readers-")
os.environ["HF_HOME"] = os.path.join(FOLDER.name, "hf")

import datasets
import h5py
import numpy
import pandas

PROGRAM = sys.argv.pop(1)
MODELS = pathlib.Path(__file__).resolve().parents[2] / "models"
OUTPUT = os.path.join(FOLDER.name, "out.h5")
ROWS = 600
PROMPTS = ["Once upon a time", "", "The cat", "Tim had a red ball. He"]
EMPTY, DONE = 0, 1


def gridmill(*arguments):
    return [PROGRAM, *arguments]


def check_rows(test, file):
    """Every done row has its tokens and log-probabilities; everything behind them is 0. Returns how many are done."""
    rows = file["rows"][:]
    test.assertEqual(len(rows), ROWS)
    done = numpy.flatnonzero(rows["status"] == DONE)
    for index in done:
        row = rows[index]
        tokens = file["tokens"][index]
        test.assertGreaterEqual(row["length"], row["prefix_length"])
        test.assertEqual(tokens[0], 1, "rows begin with the model's bos")
        test.assertTrue((tokens[row["length"]:] == 0).all())
        logprobs = file["token_logprobs"][index, : row["length"]]
        test.assertTrue((logprobs <= 0).all() and logprobs[0] == 0)
    return len(done)


class Readers(unittest.TestCase):
    """In the order of their names: first while the job runs, then on its finished file."""

    @classmethod
    def setUpClass(cls):
        os.chdir(FOLDER.name)
        with open("prompts.txt", "w") as prompts:
            prompts.writelines(PROMPTS[i % len(PROMPTS)] + "\n" for i in range(ROWS))
        story = MODELS / "stories260K"
        subprocess.run(gridmill("convert", story / "stories260K.bin", "m.h5", "--tokenizer", story / "tok512.bin"), check=True)
        cls.job = subprocess.Popen(
            gridmill("generate", "--model", "m.h5", "--prompts", "prompts.txt", "--output", OUTPUT, "--slots", "2", "--threads", "1",
                     "--max-length", "200", "--logprobs", "--commit-interval", "50ms", "--progress", "none", "--log-level", "warn"))

    @classmethod
    def tearDownClass(cls):
        if cls.job.poll() is None:
            cls.job.terminate()
        cls.job.wait()

    def test_1_while_the_job_runs(self):
        seen = 0
        patience = time.monotonic() + 60
        while self.job.poll() is None and seen == 0 and time.monotonic() < patience:
            if not os.path.exists(OUTPUT):
                time.sleep(0.01)
                continue
            with h5py.File(OUTPUT) as file:
                seen = check_rows(self, file)
                table = pandas.DataFrame(file["rows"][:])
        self.assertGreater(seen, 0, "no row was seen")
        self.assertIsNone(self.job.poll(), "the job was over before a reader saw its file: it needs more rows")
        self.assertGreaterEqual((table["status"] == DONE).sum(), seen)
        loaded = datasets.load_dataset("hdf5", data_files=OUTPUT, split="train")
        self.assertEqual(loaded.num_rows, ROWS)
        self.assertIsNone(self.job.poll(), "the job was over before datasets had read its file")

    def test_2_h5py_reads_the_finished_file(self):
        self.assertEqual(self.job.wait(), 0)
        with h5py.File(OUTPUT) as file:
            self.assertEqual(check_rows(self, file), ROWS)
            self.assertEqual(file.attrs["format"], "gridmill-results")

    def test_3_pandas_makes_a_table_of_the_rows(self):
        with h5py.File(OUTPUT) as file:
            table = pandas.DataFrame(file["rows"][:])
        self.assertEqual(list(table["prompt_index"]), list(range(ROWS)))
        self.assertEqual(set(table.columns), {"status", "finish_reason", "prompt_index", "sample_index", "prefix_length", "length",
                                              "stop_index", "flags", "payload_crc", "row_crc"})
        self.assertTrue((table["status"] == DONE).all())

    def test_4_datasets_loads_every_column(self):
        os.rename(OUTPUT, "finished.h5")  # its cache knows the file by name
        loaded = datasets.load_dataset("hdf5", data_files="finished.h5", split="train")
        with h5py.File("finished.h5") as file:
            self.assertEqual(loaded.num_rows, ROWS)
            self.assertEqual(set(loaded.column_names), set(file))
            for index in range(0, ROWS, 37):
                self.assertEqual(loaded[index]["tokens"], file["tokens"][index].tolist())


if __name__ == "__main__":
    unittest.main(verbosity=2)
