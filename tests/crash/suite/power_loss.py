#!/usr/bin/env python3
"""Power cuts: a file system on a loop device drops everything that it has not made durable, while ranks write.

The shutdown ioctl of ext4 and xfs stops a file system at once, without writing its journal. What was acknowledged (an
fdatasync returned after the record was written; told by a preloaded library) before the cut has to be there when
the file system is mounted again. --control stubs fdatasync out: then rows have to be missing, or the test proves nothing."""
import argparse
import fcntl
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time

from job import GRIDS
from work import make_jobs

SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN: _IOR('X', 125, u32)
NO_LOG_FLUSH = 2
MAKE = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f"]}
DISK_BYTES = 400 << 20


class Disk:
    def __init__(self, folder, kind):
        self.image, self.mount, self.kind = os.path.join(folder, kind), os.path.join(folder, kind + " mount"), kind
        os.makedirs(self.mount, exist_ok=True)

    def make(self):
        with open(self.image, "wb") as file:
            file.truncate(DISK_BYTES)
        subprocess.run(MAKE[self.kind] + [self.image], check=True)
        self.power_on()

    def power_on(self):
        subprocess.run(["mount", "-t", self.kind, "-o", "loop", self.image, self.mount], check=True)

    def cut_power(self):
        descriptor = os.open(self.mount, os.O_RDONLY)
        fcntl.ioctl(descriptor, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        os.close(descriptor)

    def unmount(self):
        # A thread inside a call of the file system outlives the process by a moment.
        deadline = time.monotonic() + 60
        while subprocess.run(["umount", self.mount], capture_output=True).returncode != 0:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.mount} cannot be unmounted")
            time.sleep(0.02)


class PowerLoss:
    def __init__(self, arguments, folder, kind):
        self.arguments = arguments
        self.disk = Disk(folder, kind)
        self.log = os.path.join(folder, "acknowledged")
        self.jobs = make_jobs(arguments.program, arguments.model, folder)
        self.cuts, self.in_flight, self.acknowledged, self.lost, self.problems = 0, 0, 0, 0, []

    def read_acknowledged(self, reference):
        """Rows whose records an fdatasync has covered."""
        begin, size = reference.places["rows"]
        try:
            with open(self.log, encoding="ascii") as file:
                lines = file.read().split("\n")[:-1]  # the last one may be half written
        except FileNotFoundError:
            return set()
        offsets = [int(line) for line in lines]
        return {(offset - begin) // 32 for offset in offsets if begin <= offset < begin + size}

    def tell_story(self, most_cuts):
        """One file: cuts until it is complete, on another grid each time; then it has to be as it should."""
        job = random.choice(self.jobs)
        self.disk.make()
        output = os.path.join(self.disk.mount, "out.h5")
        if os.path.exists(self.log):
            os.remove(self.log)
        grid = random.choice(list(GRIDS))
        safe = set()
        for _ in range(most_cuts):
            ended, safe = self.run_and_cut(job, output, grid, safe)
            grid = random.choice([other for other in GRIDS if other != grid])
            if ended or self.arguments.control:
                break
        if not self.arguments.control:
            self.complete(job, output, grid)
        self.disk.unmount()

    def run_and_cut(self, job, output, grid, safe):
        environment = {"LD_PRELOAD": self.arguments.shim, "GRIDMILL_SHIM_ACK": self.log}
        if self.arguments.control:
            environment["GRIDMILL_SHIM"] = "nosync:0"
        run = job.start(output, grid, shim=(environment, None))
        before = len(safe)
        run.wait_until(lambda: len(self.read_acknowledged(job.reference)) > before)
        time.sleep(random.random() * 0.3)
        begun = run.has_begun()
        ranks = run.pids()
        # First what is acknowledged, then the cut: right behind the ioctl an fdatasync may still say that all is well.
        safe = safe | self.read_acknowledged(job.reference)
        self.disk.cut_power()
        ended = run.ended()
        run.known.update(ranks.values())
        run.end_by_force()
        self.disk.unmount()
        self.disk.power_on()
        found, counts = job.reference.judge(output, safe)
        lost = sum("is lost" in problem for problem in found)
        if not ended:
            self.cuts += 1
            self.in_flight += begun and len(safe) < job.reference.count
            self.acknowledged += len(safe)
            self.lost += lost
        if not self.arguments.control or len(found) > lost:
            self.problems += [problem for problem in found if not self.arguments.control]
        return ended, safe

    def complete(self, job, output, grid):
        run = job.start(output, grid)
        code = run.finish()
        with open(output, "rb") as file:
            same = file.read() == job.reference.content
        if code != 0 or not same:
            self.problems.append(f"after the cuts: exit code {code}, file {'as it should be' if same else 'differs'}: {run.text()}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--program", "--shim", "--model"):
        parser.add_argument(name, required=True)
    parser.add_argument("--kind", choices=sorted(MAKE), required=True)
    parser.add_argument("--cuts", type=int, default=50)
    parser.add_argument("--control", action="store_true")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--folder", default=None)
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(1 << 30)
    random.seed(seed)
    folder = tempfile.mkdtemp(prefix="gridmill-power-", dir=arguments.folder)
    test = PowerLoss(arguments, folder, arguments.kind)
    while test.cuts < arguments.cuts and not test.problems:
        test.tell_story(min(8, arguments.cuts - test.cuts))
    for problem in test.problems[:10]:
        print(f"BROKEN: {problem}")
    name = f"{arguments.kind}, fdatasync stubbed out" if arguments.control else arguments.kind
    print(f"| {name} | {test.cuts} | {test.in_flight} | {test.acknowledged} | {test.lost} |  (seed {seed})", flush=True)
    shutil.rmtree(folder)
    if arguments.control:
        return 0 if test.lost > 0 else 1
    return 1 if test.problems or test.lost else 0


if __name__ == "__main__":
    sys.exit(main())
