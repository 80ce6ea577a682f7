#!/usr/bin/env python3
"""tests/gpu/report.py on fixtures: records with made-up numbers, none of which was ever measured."""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

REPORT = pathlib.Path(__file__).with_name("report.py")
sys.path.insert(0, str(REPORT.parent))
import report  # noqa: E402


def bench(shape, batch, prompt=256, gen=64, pass_rows=512):
    return {"shape": shape, "batch": batch, "prompt": prompt, "gen": gen, "pass_rows": pass_rows, "backend": "cuda",
            "compute_dtype": "bf16", "total_s": [2.0, 2.0], "decode_tps": 100.0, "prefill_tps": 1000.0, "roofline_share": 0.8,
            "decode_bandwidth_share": 0.8, "prefill_product_share": 0.6, "canary_moved": False}


def made_up_records():
    records = [{"record": "machine", "device": "no device: a fixture", "driver": "0", "version": "fixture", "at": "never"}]
    for shape in report.SHAPES:
        records += [bench(shape, batch) for batch in report.BATCHES]
        records.append(bench(shape, 8, prompt=2048, gen=2, pass_rows=2048))
        records += [{"record": "invariance", "shape": shape, "rows": rows, "cost": 0.1} for rows in report.PASS_ROWS]
        records += [{"record": "peer", "shape": shape, "batch": batch, "tiny": False, "prompt": 256, "gen": 64,
                     "total_s": [12.0]} for batch in report.PEER_BATCHES]
    records.append(bench("llama-8b", 64, prompt=1024))
    records.append({"record": "gather", "once_tps": [100.0, 101.0, 99.0], "per_layer_tps": [100.0, 99.0, 100.0]})
    records.append({"record": "grid", "backend": "--backend cuda --share-gpu", "runs": 28, "killed": 2, "refused": 2, "failed": 0})
    records += [{"record": "sanitizer", "tool": tool, "test": test, "outcome": "clean"} for tool, test in sorted(report.SANITIZED)]
    return records


def tests_xml(failed=()):
    cases = "".join(f'<testcase name="{name}" status="{"fail" if name in failed else "run"}"/>' for name in report.TESTS)
    return f"<testsuite>{cases}</testsuite>"


class Report(unittest.TestCase):
    def report(self, records, xml=tests_xml(), broken=""):
        with tempfile.TemporaryDirectory() as folder:
            lines = [json.dumps(record) for record in records]
            pathlib.Path(folder, "records.jsonl").write_text("\n".join(lines) + "\n" + broken)
            if xml is not None:
                pathlib.Path(folder, "gpu-tests.xml").write_text(xml)
            done = subprocess.run([sys.executable, "-B", REPORT, folder], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def test_of_every_figure_reached_is_0(self):
        status, table, _ = self.report(made_up_records())
        self.assertEqual(status, 0, table)
        self.assertIn("0 missing, 0 not reached", table)
        self.assertIn("| xlstm-7b, 64 rows, beside transformers' generate | at least 5 x | 6.00 x | yes |", table)

    def test_every_single_record_that_is_missing_is_1(self):
        records = made_up_records()
        for i, record in enumerate(records):
            if record.get("record") == "machine":
                continue
            status, table, _ = self.report(records[:i] + records[i + 1:])
            self.assertEqual(status, 1, record)
            self.assertIn("MISSING", table)

    def test_a_figure_that_is_not_reached_is_said_and_0(self):
        status, table, _ = self.report(made_up_records() + [bench("xlstm-7b", 1) | {"decode_bandwidth_share": 0.74}])
        self.assertEqual(status, 0)
        self.assertIn("| xlstm-7b, decode, 1 slot, share of the memory bandwidth | at least 75.0 % | 74.0 % | NO |", table)
        self.assertIn("0 missing, 1 not reached", table)

    def test_a_failed_test_is_not_reached_and_one_that_did_not_run_is_missing(self):
        status, table, _ = self.report(made_up_records(), tests_xml(failed=["gpu_nccl_test"]))
        self.assertEqual(status, 0)
        self.assertIn("| gpu_nccl_test | passes | fail | NO |", table)
        self.assertEqual(self.report(made_up_records(), xml=None)[0], 1)

    def test_a_peer_that_failed_is_missing(self):
        status, table, _ = self.report(made_up_records() + [
            {"record": "peer", "shape": "llama-8b", "batch": 64, "tiny": False, "error": "OutOfMemoryError: made up"}])
        self.assertEqual(status, 1)
        self.assertIn("transformers failed: OutOfMemoryError", table)

    def test_other_backends_and_tiny_peers_do_not_count(self):
        records = [record for record in made_up_records() if record.get("record") != "peer"]
        records += [{"record": "peer", "shape": "llama-8b", "batch": 1, "tiny": True, "prompt": 256, "gen": 64, "total_s": [1.0]}]
        self.assertEqual(self.report(records)[0], 1)
        on_the_host = [record | {"backend": "cpu"} if "decode_tps" in record else record for record in made_up_records()]
        self.assertEqual(self.report(on_the_host)[0], 1)

    def test_a_broken_line_is_65(self):
        status, _, error = self.report(made_up_records(), broken='{"record": "grid"')
        self.assertEqual(status, 65)
        self.assertIn("records.jsonl", error)

    def test_a_record_without_its_number_is_65(self):
        self.assertEqual(self.report(made_up_records() + [{"record": "invariance", "shape": "llama-8b", "rows": 1}])[0], 65)


if __name__ == "__main__":
    unittest.main()
