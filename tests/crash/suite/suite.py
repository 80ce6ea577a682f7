#!/usr/bin/env python3
"""Kills, stops and failing disks against the program as it is released, until a number of counted hits.

A story is one result file: a run starts, something happens to it, what is left is judged, the next run goes on on
another grid, and so on until the file is complete; then it has to equal that of a run to which nothing happened, byte for
byte. Rows that any reader could have seen finished are remembered outside the file and may neither vanish nor change.

Each hit is a line in --log; a suite that is started again with the same log goes on counting. --table prints the log as
a table. Any broken promise ends the suite with exit code 1, and what is left of the file stays in the folder it names."""
import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

from damaged_file import damaged_file
from full_disk import full_disk, obstacle
from hurts import HURTS, PHASES, Story
from job import GRIDS
from result_view import Watcher
from table import print_table
from work import make_jobs

MOST_HITS_A_STORY = 12
LEAST_SHARE_IN_FLIGHT = 0.7


class Broken(Exception):
    """A promise that was not kept."""


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", help="gridmill")
    parser.add_argument("--shim", help="library that breaks calls; beside it lies gridmill_impatient_generate")
    parser.add_argument("--model", help="checkpoint of stories260K")
    parser.add_argument("--log", required=True, help="a line for each hit")
    parser.add_argument("--afresh", action="store_true", help="begin a new log")
    parser.add_argument("--kills", type=int, default=1000, help="counted hits in the log to stop at")
    parser.add_argument("--seconds", type=float, default=1e9, help="stop earlier, between two stories")
    parser.add_argument("--everything-once", action="store_true",
                        help="stop when every kind of hit, every phase and every grid has counted; ignores --kills")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--folder", default=None, help="where to work; memory is disk enough for kills")
    parser.add_argument("--table", action="store_true", help="print the log as a table and do nothing else")
    return parser.parse_args()


class Suite:
    def __init__(self, arguments, folder):
        self.arguments = arguments
        self.folder = folder
        self.jobs = make_jobs(arguments.program, arguments.model, folder)
        self.log = open(arguments.log, "w" if arguments.afresh else "a", encoding="utf-8")
        self.hits = [json.loads(line) for line in open(arguments.log, encoding="utf-8")]
        self.start = time.monotonic()
        self.to_try = set(HURTS) | set(PHASES) | set(GRIDS) if arguments.everything_once else set()
        self.mounts = obstacle() is None
        if not self.mounts:
            print(f"left out: full disk ({obstacle()}); ENOSPC comes from the shim alone", flush=True)
        elif arguments.everything_once:
            self.to_try.add("full disk")

    def done(self):
        if self.arguments.everything_once:
            return not self.to_try
        counted = sum(hit["counted"] for hit in self.hits)
        return counted >= self.arguments.kills or time.monotonic() - self.start > self.arguments.seconds

    def run(self):
        while not self.done():
            if "full disk" in self.to_try or (self.mounts and not self.arguments.everything_once and random.random() < 0.03):
                self.note(full_disk(self.jobs[1], self.folder, random.choice(list(GRIDS))))
            if self.arguments.everything_once or random.random() < 0.1:
                self.note(damaged_file(random.choice(self.jobs), self.folder, random.choice(list(GRIDS))))
            self.tell_story()

    def tell_story(self):
        for name in os.listdir(self.folder):
            if name.startswith("out.h5"):
                os.remove(os.path.join(self.folder, name))
        job = self.jobs[2] if "partial rows" in self.to_try else random.choice(self.jobs)
        output = os.path.join(self.folder, "out.h5")
        story = Story(job, output, Watcher(job.reference, output), self.arguments)
        grid = self.choose_grid(None)
        trail = []
        for _ in range(MOST_HITS_A_STORY):
            hurt, phase = self.choose(story)
            self.note(self.hit(story, hurt, phase, grid, trail))
            grid = self.choose_grid(grid)
            if story.exists() and story.rows_left() == 0:
                break
        run = job.start(output, grid)
        code = run.finish()
        problems, _ = job.reference.judge(output, story.watcher.acknowledged)
        if code != 0:
            problems.append(f"exit code {code} of the last run: {run.text()}")
        with open(output, "rb") as file:
            if file.read() != job.reference.content:
                problems.append("the finished file differs from that of an uninterrupted run")
        self.require(problems, trail + [f"last run on {grid}"])

    def choose_grid(self, last):
        others = [grid for grid in GRIDS if grid != last]
        return random.choice([grid for grid in others if grid in self.to_try] or others)

    def choose(self, story):
        """What happens next, and in which phase; while things are left to try, rather one of them."""
        fresh = not story.exists()
        impatient = story.job.name == "long rows"
        choices = []
        for name, (_, phases, weight) in HURTS.items():
            for phase in phases:
                if phase == "creating" and not fresh:
                    continue
                if phase == "partial rows" and not impatient:
                    continue
                often = weight * (3 if phase in ("creating", "partial rows") else 1)
                wanted = (100 if name in self.to_try else 1) * (100 if phase in self.to_try else 1)
                choices.append((often * wanted, name, phase))
        _, name, phase = random.choices(choices, [choice[0] for choice in choices])[0]
        return name, phase

    def hit(self, story, name, phase, grid, trail):
        trail.append(f"{name} ({phase}, {grid})")
        start = time.monotonic()
        outcome = HURTS[name][0](story, grid, phase)
        problems, counts = story.job.reference.judge(story.output, story.watcher.acknowledged)
        problems += outcome.problems + story.watcher.problems
        if story.exists():
            problems += self.our_reader_disagrees(story.output, counts)
        self.require(problems, trail)
        return {"hurt": name, "phase": phase, "grid": grid, "job": story.job.name, "counted": outcome.counted,
                "in_flight": outcome.in_flight, "acknowledged": len(story.watcher.acknowledged),
                "partial": counts.get(3, 0), "seconds": round(time.monotonic() - start, 2)}

    def our_reader_disagrees(self, output, counts):
        found = subprocess.run([self.arguments.program, "status", output, "--json"], capture_output=True, text=True)
        if found.returncode not in (0, 75):
            return [f"gridmill status: {found.returncode}: {found.stderr.strip()}"]
        status = json.loads(found.stdout)
        expected = {"done": counts.get(1, 0), "failed": counts.get(2, 0), "partial": counts.get(3, 0), "damaged": 0}
        return [f"gridmill status says {key} {status[key]}, h5py {value}" for key, value in expected.items()
                if status[key] != value]

    def note(self, hit):
        if hit.pop("problems", None):
            raise Broken
        self.hits.append(hit)
        self.log.write(json.dumps(hit) + "\n")
        self.log.flush()
        if hit["counted"]:
            self.to_try -= {hit["hurt"], hit["phase"], hit["grid"]}

    def require(self, problems, trail):
        if problems:
            print("BROKEN: " + "; ".join(problems[:10]) + f" ({len(problems)} in all)")
            print("  after: " + " -> ".join(trail))
            raise Broken


def main():
    arguments = parse_arguments()
    if arguments.table:
        with open(arguments.log, encoding="utf-8") as file:
            print_table([json.loads(line) for line in file])
        return 0
    arguments.impatient = os.path.join(os.path.dirname(arguments.shim), "gridmill_impatient_generate")
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1 << 30)
    random.seed(seed)
    print(f"seed {seed}", flush=True)
    folder = tempfile.mkdtemp(prefix="gridmill-crash-", dir=arguments.folder)
    try:
        suite = Suite(arguments, folder)
        suite.run()
    except Broken:
        print(f"what is left: {folder}")
        return 1
    except BaseException:
        print(f"what is left: {folder}")
        raise
    shutil.rmtree(folder)
    print_table(suite.hits)
    counted = [hit for hit in suite.hits if hit["counted"]]
    if sum(hit["in_flight"] for hit in counted) < LEAST_SHARE_IN_FLIGHT * len(counted):
        print("BROKEN: too few of the hits met a run with rows in flight")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
