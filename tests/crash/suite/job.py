"""Runs of one job: starting them on a grid, finding their ranks, hurting them."""
import json
import os
import random
import signal
import subprocess
import time

GRIDS = {"1": (1, []), "2": (2, []), "4": (4, []), "2x2": (4, ["--fsdp", "2"]), "tp2": (2, ["--tp", "2"])}
PATIENCE_S = 120  # a run that does not end by then hangs


def children_of(parent):
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent and fields[0] != "Z":
            found.append(int(entry))
    return found


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def rank_of(pid):
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            for entry in file.read().split(b"\0"):
                if entry.startswith((b"OMPI_COMM_WORLD_RANK=", b"PMI_RANK=")):
                    return int(entry.partition(b"=")[2])
    except OSError:
        pass
    return None


class Job:
    """What is generated: equal for all of its runs, on whatever grid."""

    def __init__(self, name, folder, program, model, prompts, options):
        self.name = name
        self.folder = folder
        self.program = program  # [path, "generate"], or the impatient one
        self.options = ["--model", model, "--prompts", prompts, "--threads", "1", "--progress", "none", "--log-level",
                        "warn", "--allow-failed-rows", "--commit-interval", "25ms"] + options
        self.reference = None

    def start(self, output, grid, extra=(), program=None, shim=None):
        return Run(self, output, grid, list(extra), program or self.program, shim)


class Run:
    """One run. `shim`: (its environment, the rank that it is loaded into; None = all)."""

    def __init__(self, job, output, grid, extra, program, shim=None):
        ranks, grid_options = GRIDS[grid]
        self.grid = grid
        self.ranks = ranks
        self.output = output
        self.runs_before = len(run_records(output))
        command = program + job.options + grid_options + ["--output", output] + extra
        environment = dict(os.environ, OMPI_MCA_btl_vader_backing_directory=job.folder,
                           OMPI_MCA_btl_sm_backing_directory=job.folder, TMPDIR=job.folder)
        self.launched = ranks > 1 or random.random() < 0.3
        if self.launched:
            command = [os.environ["GRIDMILL_LAUNCH"]] + self._parts(command, shim)
        elif shim:
            command = self._with_shim(command, shim)
        self.messages = open(os.path.join(job.folder, "messages"), "w+")
        # A session of its own: nothing that is sent to the suite's terminal reaches it.
        self.process = subprocess.Popen(command, env=environment, cwd=job.folder, stdin=subprocess.DEVNULL,
                                        stdout=self.messages, stderr=subprocess.STDOUT, start_new_session=True)
        self.known = set()

    def _parts(self, command, shim):
        if not shim:
            return ["-n", str(self.ranks)] + command
        if shim[1] is None:
            return ["-n", str(self.ranks)] + self._with_shim(command, shim)
        parts = []
        victim = shim[1]
        for first, count in ((0, victim), (victim, 1), (victim + 1, self.ranks - victim - 1)):
            if count > 0:
                part = self._with_shim(command, shim) if first == victim and count == 1 else command
                parts += ([":"] if parts else []) + ["-n", str(count)] + part
        return parts

    @staticmethod
    def _with_shim(command, shim):
        # In the rank, not in the launcher.
        return ["env", "GRIDMILL_SHIM_MATCH=out.h5"] + [f"{name}={value}" for name, value in shim[0].items()] + command

    def pids(self):
        """Processes of the ranks by rank, those that live."""
        if not self.launched:
            return {0: self.process.pid} if is_alive(self.process.pid) else {}
        found = {}
        left = children_of(self.process.pid)
        while left:  # a launcher may have processes of its own between itself and the ranks
            pid = left.pop()
            rank = rank_of(pid)
            if rank is None:
                left += children_of(pid)
            else:
                found[rank] = pid
        self.known.update(found.values())
        return found

    def has_begun(self):
        """Whether the loop runs: the run's record is in the run log."""
        return len(run_records(self.output)) > self.runs_before

    def ended(self):
        return self.process.poll() is not None

    def wait_until(self, condition):
        """@return whether `condition` became true while the run went on."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if condition():
                return True
            if self.ended():
                return condition()
            time.sleep(0.002)
        raise TimeoutError(f"a run on grid {self.grid} did nothing for {PATIENCE_S} s: {self.text()}")

    def finish(self):
        """Waits for launcher and ranks. @return exit code; 128 + n for signal n."""
        try:
            code = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"a run on grid {self.grid} did not end in {PATIENCE_S} s: {self.text()}") from None
        deadline = time.monotonic() + PATIENCE_S
        while any(self.is_ours(pid) for pid in self.known):
            if time.monotonic() > deadline:
                raise TimeoutError(f"ranks outlive their launcher: {self.known}")
            time.sleep(0.005)
        return code if code >= 0 else 128 - code

    def kill(self, pid, number=signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass

    def text(self):
        self.messages.flush()
        self.messages.seek(0)
        return self.messages.read().strip()[-600:]

    def is_ours(self, pid):
        """Whether the process lives and is no other one that got the number meanwhile."""
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                return is_alive(pid) and self.output.encode() in file.read()
        except OSError:
            return False

    def end_by_force(self):
        for pid in set(self.pids().values()) | self.known:
            if self.is_ours(pid):
                self.kill(pid)
        if not self.ended():
            self.kill(self.process.pid)
        self.process.wait()


def run_records(output):
    """Readable records of the run log."""
    try:
        with open(output + ".runs.jsonl", encoding="utf-8") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    records = []
    for line in lines:
        try:
            records.append(json.loads(line))
        except ValueError:
            pass  # cut short by a kill
    return records
