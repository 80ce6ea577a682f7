#!/usr/bin/env python3
"""Turns the records of tests/gpu/run.sh into a table: figure | wanted | measured | reached.

usage: python3 tests/gpu/report.py FOLDER      (records.jsonl and gpu-tests.xml)
Exit status: 0 if there is a record for every figure, reached or not; 1 if one is missing; 65 if a record cannot be read.
Of several records of one thing the last counts.
"""
import json
import pathlib
import statistics
import sys
import xml.etree.ElementTree

SHAPES = ("xlstm-7b", "llama-8b")
BATCHES = (1, 8, 64, 256)
PEER_BATCHES = (1, 8, 64)
PASS_ROWS = (1, 8, 64, 256, 2048)
# Tools and tests of sanitizer.sh.
SANITIZED = {("memcheck", "gpu_promises_test"), ("memcheck", "gpu_exact_test"), ("memcheck", "gpu_limits_test"),
             ("memcheck", "gpu_models_test"), ("racecheck", "gpu_promises_test"), ("racecheck", "gpu_exact_test"),
             ("synccheck", "gpu_promises_test"), ("synccheck", "gpu_exact_test")}
TESTS = ("gpu_promises_test", "gpu_exact_test", "gpu_models_test", "gpu_golden_test", "gpu_limits_test", "gpu_nccl_test")
# Two equal runs differ by so much: "costs nothing" can be told no finer.
NOTHING = 0.03


def load(folder):
    records = []
    path = folder / "records.jsonl"
    for number, line in enumerate(path.read_text().splitlines() if path.exists() else [], 1):
        try:
            record = json.loads(line)
            if not isinstance(record, dict):
                raise ValueError("no object")
        except ValueError as error:
            print(f"report.py: {path}:{number}: {error}: {line[:80]}", file=sys.stderr)
            sys.exit(65)
        record.setdefault("record", "bench")  # a line of `gridmill bench`
        records.append(record)
    return records


def last(records, **wanted):
    found = [record for record in records if all(record.get(key) == value for key, value in wanted.items())]
    return found[-1] if found else None


def percent(value):
    return f"{100 * value:.1f} %"


class Table:
    def __init__(self):
        self.rows = []
        self.missing = 0

    def add(self, figure, wanted, measured, reached):
        self.rows.append((figure, wanted, measured, {True: "yes", False: "NO", None: ""}[reached]))

    def lacks(self, figure, wanted, why="no record"):
        self.missing += 1
        self.rows.append((figure, wanted, why, "MISSING"))

    def at_least(self, figure, bound, value):
        wanted = f"at least {percent(bound)}"
        if value is None:
            self.lacks(figure, wanted)
        else:
            self.add(figure, wanted, percent(value), value >= bound)

    def text(self):
        return "\n".join(["| figure | wanted | measured | reached |", "|---|---|---|---|"] +
                         ["| " + " | ".join(row) + " |" for row in self.rows])


def decode_figures(table, records):
    def bench(**wanted):
        return last(records, record="bench", backend="cuda", compute_dtype="bf16", **wanted)

    def share(record, field):
        return None if record is None else record[field]

    for shape in SHAPES:
        table.at_least(f"{shape}, decode, 1 slot, share of the memory bandwidth", 0.75,
                       share(bench(shape=shape, batch=1, prompt=256), "decode_bandwidth_share"))
    table.at_least("xlstm-7b, decode, 64 slots, share of the ceiling of weights and fp32 states", 0.70,
                   share(bench(shape="xlstm-7b", batch=64, prompt=256), "decode_bandwidth_share"))
    table.at_least("llama-8b, decode, 64 slots, 1,024 tokens of context, share of the ceiling of weights and cache", 0.65,
                   share(bench(shape="llama-8b", batch=64, prompt=1024), "decode_bandwidth_share"))
    for shape in SHAPES:
        table.at_least(f"{shape}, prefill, chunks of 2,048, share of the bf16 peak", 0.50,
                       share(bench(shape=shape, prompt=2048, pass_rows=2048), "prefill_product_share"))
    for shape in SHAPES:
        for batch in BATCHES:
            figure = f"{shape}, {batch} slots, tokens/s of decode; of prefill; share of the roofline"
            record = bench(shape=shape, batch=batch, prompt=256)
            if record is None:
                table.lacks(figure, "measured")
            else:
                noisy = ", limits moved" if record["canary_moved"] else ""
                table.add(figure, "measured", f"{record['decode_tps']:.0f}; {record['prefill_tps']:.0f}; "
                          f"{percent(record['roofline_share'])}{noisy}", None)


def peer_figures(table, records):
    for shape, bound in (("xlstm-7b", 5.0), ("llama-8b", 2.0)):
        for batch in PEER_BATCHES:
            figure = f"{shape}, {batch} rows, beside transformers' generate"
            wanted = f"at least {bound:g} x"
            peer = last(records, record="peer", shape=shape, batch=batch, tiny=False)
            if peer is None:
                table.lacks(figure, wanted)
                continue
            if "error" in peer:
                table.lacks(figure, wanted, "transformers failed: " + peer["error"].splitlines()[0].replace("|", "/")[:120])
                continue
            ours = last(records, record="bench", backend="cuda", compute_dtype="bf16", shape=shape, batch=batch,
                        prompt=peer["prompt"], gen=peer["gen"])
            if ours is None:
                table.lacks(figure, wanted, "no line of gridmill bench for the same rows")
            else:
                ratio = statistics.median(peer["total_s"]) / statistics.median(ours["total_s"])
                table.add(figure, wanted, f"{ratio:.2f} x", ratio >= bound)


def invariance_figures(table, records):
    for shape in SHAPES:
        for rows in PASS_ROWS:
            figure = f"{shape}, {rows} rows, what batch invariance costs beside a free choice"
            record = last(records, record="invariance", shape=shape, rows=rows)
            if record is None:
                table.lacks(figure, "at most 15 %")
            else:
                table.add(figure, "at most 15 %", percent(record["cost"]), record["cost"] <= 0.15)


def gather_figures(table, records):
    figure = "per-layer gathering on one rank, cost beside gathering once"
    record = last(records, record="gather")
    if record is None:
        table.lacks(figure, f"nothing (at most {percent(NOTHING)})")
    else:
        cost = statistics.median(record["once_tps"]) / statistics.median(record["per_layer_tps"]) - 1
        table.add(figure, f"nothing (at most {percent(NOTHING)})", percent(cost), cost <= NOTHING)


def check_figures(table, records, folder):
    path = folder / "gpu-tests.xml"
    cases = {}
    if path.exists():
        for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
            cases[case.get("name")] = case.get("status")
    for test in TESTS:
        if test not in cases:
            table.lacks(test, "passes")
        else:
            table.add(test, "passes", cases[test], cases[test] == "run")
    # ctest writes "run" for what has run and passed.
    grid = last(records, record="grid")
    figure = "grid matrix, ranks sharing the device"
    if grid is None or "cuda" not in grid["backend"]:
        table.lacks(figure, "no failure")
    else:
        table.add(figure, "no failure", f"{grid['runs']} runs, {grid['killed']} killed and resumed, {grid['refused']} refused, "
                  f"{grid['failed']} failed",
                  grid["failed"] == 0 and grid["runs"] > 0 and grid["killed"] >= 2 and grid["refused"] >= 2)
    for tool, test in sorted(SANITIZED):
        figure = f"compute-sanitizer {tool}, {test}"
        record = last(records, record="sanitizer", tool=tool, test=test)
        if record is None:
            table.lacks(figure, "clean")
        else:
            table.add(figure, "clean", record["outcome"], record["outcome"] == "clean")


def main():
    if len(sys.argv) != 2:
        print("usage: report.py FOLDER", file=sys.stderr)
        sys.exit(64)
    folder = pathlib.Path(sys.argv[1])
    records = load(folder)
    table = Table()
    try:
        decode_figures(table, records)
        peer_figures(table, records)
        invariance_figures(table, records)
        gather_figures(table, records)
        check_figures(table, records, folder)
    except (KeyError, TypeError) as error:
        print(f"report.py: a record lacks what it should have: {error!r}", file=sys.stderr)
        sys.exit(65)
    except xml.etree.ElementTree.ParseError as error:
        print(f"report.py: gpu-tests.xml: {error}", file=sys.stderr)
        sys.exit(65)
    stamp = last(records, record="machine")
    if stamp:
        print(f"{stamp['device']}, driver {stamp['driver']}, {stamp['version']}, {stamp['at']}\n")
    print(table.text())
    print(f"\n{len(table.rows)} figures, {table.missing} missing, {sum(row[3] == 'NO' for row in table.rows)} not reached")
    sys.exit(1 if table.missing else 0)


if __name__ == "__main__":
    main()
