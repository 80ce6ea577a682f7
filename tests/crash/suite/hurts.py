"""Everything that happens to a run. Each function waits for its moment, does it, and says how it went."""
import os
import random
import signal
import subprocess
import time

from job import is_alive, run_records

PHASES = ("creating", "first commit", "steady", "partial rows", "exporting")
STOPPED = 75


class Outcome:
    """counted: the run was ended by what was done to it; in_flight: it was generating rows when that happened."""

    def __init__(self, counted, in_flight, problems=()):
        self.counted = counted
        self.in_flight = in_flight
        self.problems = list(problems)


class Story:
    """One result file from its beginning to its end: a job, its output, and who has seen what of it."""

    def __init__(self, job, output, watcher, tools):
        self.job = job
        self.output = output
        self.watcher = watcher
        self.tools = tools  # program, impatient program, shim

    def start(self, grid, phase="", extra=(), shim=None):
        program = [self.tools.impatient] if phase == "partial rows" else None
        return self.job.start(self.output, grid, extra, program, shim)

    def rows_left(self):
        return self.job.reference.count - self.watcher.look()

    def exists(self):
        return os.path.exists(self.output)


def watch_for(run, story, seconds):
    """Time passes, watched. Ends early with the run."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not run.ended():
        story.watcher.look()
        time.sleep(0.002)


def reach(run, story, phase):
    """Waits until the run is in `phase`. @return False if it ended before."""
    before = story.watcher.look()
    if phase == "creating":
        run.wait_until(lambda: os.path.exists(story.output + ".lock"))
        watch_for(run, story, random.random() * 0.02)
    elif phase == "first commit":
        run.wait_until(lambda: story.watcher.look() > before)
    elif phase == "partial rows":
        run.wait_until(lambda: run.has_begun() and (story.watcher.look() or True) and story.watcher.partial > 0)
        watch_for(run, story, random.random() * 0.1)
    else:
        run.wait_until(lambda: story.watcher.look() > before)
        watch_for(run, story, random.random() * 0.3)
    story.watcher.look()
    return not run.ended()


def in_flight(run, story):
    return run.has_begun() and story.rows_left() > 0 and bool(run.pids())


def kill(whom):
    """kill -9 of "rank", "rank 0", "all ranks" or "mpirun"."""

    def hurt(story, grid, phase):
        run = story.start(grid, phase)
        if not reach(run, story, phase):
            return ended_by_itself(run)
        ranks = run.pids()
        flying = in_flight(run, story)
        if whom == "mpirun":
            run.kill(run.process.pid)
        elif whom == "all ranks":
            for pid in ranks.values():
                run.kill(pid)
        elif ranks:
            chosen = 0 if whom == "rank 0" else random.choice(sorted(ranks))
            if chosen in ranks:
                run.kill(ranks[chosen])
        return violent_end(run, flying)

    return hurt


def violent_end(run, flying):
    code = run.finish()
    return Outcome(code != 0, flying and code != 0)


def ended_by_itself(run):
    code = run.finish()
    return Outcome(False, False, [] if code == 0 else [f"exit code {code} though nothing happened: {run.text()}"])


def clean_stop(run, flying):
    code = run.finish()
    problems = [] if code in (0, STOPPED) else [f"exit code {code} after a request to stop: {run.text()}"]
    return Outcome(code == STOPPED, flying and code == STOPPED, problems)


def stop_signal(number, whom):
    """A request to stop for "rank" or "mpirun"."""

    def hurt(story, grid, phase):
        run = story.start(grid, phase)
        if not reach(run, story, phase):
            return ended_by_itself(run)
        flying = in_flight(run, story)
        ranks = run.pids()
        if whom == "mpirun" or not ranks:
            run.kill(run.process.pid, number)
        else:
            run.kill(random.choice(list(ranks.values())), number)
        # To mpirun itself SIGTERM leaves no time for a clean stop: mpirun kills, and the code is its own.
        if whom == "mpirun" and number == signal.SIGTERM and run.launched:
            return violent_end(run, flying)
        return clean_stop(run, flying)

    return hurt


def stop_then_kill(story, grid, phase):
    """All ranks are killed while they write partial rows and leave."""
    run = story.start(grid, phase)
    if not reach(run, story, phase):
        return ended_by_itself(run)
    flying = in_flight(run, story)
    ranks = run.pids()
    for pid in ranks.values():
        run.kill(pid, signal.SIGUSR1)
    watch_for(run, story, random.random() * 0.04)
    for pid in ranks.values():
        run.kill(pid)
    return violent_end(run, flying)


def time_limit(story, grid, phase):
    run = story.start(grid, phase, ["--time-limit", f"{random.randint(100, 900)}ms"])
    run.wait_until(lambda: story.watcher.look() < 0)
    return clean_stop(run, run.has_begun())


def fault(what):
    """The n-th call of one rank that changes or syncs a file fails, or is its last."""

    def hurt(story, grid, phase):
        last = {"creating": 45, "first commit": 110, "partial rows": 200}.get(phase, 300)
        first = {"creating": 1, "first commit": 10}.get(phase, 60)
        ranks = {"1": 1, "2": 2, "tp2": 2}.get(grid, 4)
        plan = f"{what}:{random.randint(first, last)}"
        shim = ({"LD_PRELOAD": story.tools.shim, "GRIDMILL_SHIM": plan}, random.choice([0, random.randrange(ranks)]))
        run = story.start(grid, phase, shim=shim)
        run.wait_until(lambda: story.watcher.look() < 0)
        code = run.finish()
        begun = run.has_begun()
        problems = []
        if what in ("kill", "killed"):
            counted = code != 0
        else:
            counted = code in (73, 74)
            if code not in (0, 74, 73):
                problems.append(f"{plan}: exit code {code}: {run.text()}")
            if code == 73 and begun:
                problems.append(f"{plan}: exit code 73 in the middle of a run: {run.text()}")
            if code == 74 and begun and "runs.jsonl" not in run.text():
                record = run_records(story.output)[-1]
                if record.get("exit_code") != 74 or not record.get("error") or "end" not in record:
                    problems.append(f"{plan}: the run log does not say why the run ended: {record}; stderr: {run.text()}")
        return Outcome(counted, counted and begun, problems)

    return hurt


def second_run(story, grid, phase):
    """Another run on the same output has to leave with 73; then the first one is killed."""
    run = story.start(grid, phase)
    if not reach(run, story, phase):
        return ended_by_itself(run)
    other = story.job.start(story.output, random.choice(["1", "2"]))
    code = other.finish()
    problems = []
    if code != 73 and not run.ended():
        problems.append(f"exit code {code} of a second run on the same output: {other.text()}")
    if run.ended():
        return Outcome(False, False, problems)
    flying = in_flight(run, story)
    for pid in run.pids().values():
        run.kill(pid)
    outcome = violent_end(run, flying)
    outcome.problems += problems
    return outcome


def zombie(story, grid, phase):
    """A rank is frozen, the rest of its run is killed, another run goes on; then the frozen rank wakes up."""
    run = story.start(grid, phase)
    if not reach(run, story, phase):
        return ended_by_itself(run)
    flying = in_flight(run, story)
    ranks = run.pids()
    chosen = random.randrange(run.ranks)
    if chosen not in ranks:
        return violent_end(run, False)
    frozen = ranks[chosen]
    run.kill(frozen, signal.SIGSTOP)
    for pid in {run.process.pid, *ranks.values()} - {frozen}:
        run.kill(pid)
    if run.launched:
        run.process.wait()
    if chosen == 0:  # it still holds the lock, which a lock server would take from a lost node
        os.remove(story.output + ".lock")
    other = story.start("2" if grid != "2" else "4", phase)
    other.wait_until(lambda: other.has_begun() or other.ended())
    watch_for(other, story, random.random() * 0.3)
    run.kill(frozen, signal.SIGCONT)
    other.wait_until(lambda: story.watcher.look() < 0)
    code = other.finish()
    problems = [] if code == 0 else [f"exit code {code} beside a zombie: {other.text()}"]
    deadline = time.monotonic() + 60
    while is_alive(frozen) and time.monotonic() < deadline:
        time.sleep(0.01)
    if is_alive(frozen):
        problems.append("the zombie still runs")
    run.end_by_force()
    return Outcome(True, flying, problems)


def lock_taken(story, grid, phase):
    """The lock file is removed and another run starts: the first one has to leave with 73."""
    run = story.start(grid, phase)
    if not reach(run, story, phase):
        return ended_by_itself(run)
    flying = in_flight(run, story)
    os.remove(story.output + ".lock")
    other = story.start("1")
    other.wait_until(lambda: story.watcher.look() < 0)
    code, other_code = run.finish(), other.finish()
    problems = [] if code in (0, 73) else [f"exit code {code} of the run that lost the file: {run.text()}"]
    if other_code != 0:
        problems.append(f"exit code {other_code} of the run that took the file: {other.text()}")
    return Outcome(code == 73, flying and code == 73, problems)


def export_killed(story, grid, phase):
    """Export of a live file; both are killed. The export leaves a whole file or none."""
    run = story.start(grid, phase)
    if not reach(run, story, phase):
        return ended_by_itself(run)
    target = story.output + ".jsonl"
    export = subprocess.Popen([story.tools.program, "export", story.output, "-o", target], cwd=story.job.folder,
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    watch_for(run, story, random.random() * 0.06)
    flying = in_flight(run, story)
    run.kill(export.pid)
    for pid in run.pids().values():
        run.kill(pid)
    export.wait()
    outcome = violent_end(run, flying)
    if os.path.exists(target):
        with open(target, encoding="utf-8") as file:
            content = file.read()
        if content and not content.endswith("}\n"):
            outcome.problems.append("a killed export left a part of a file")
        os.remove(target)
    return outcome


# name -> (what to do, phases that it makes sense in, how often)
HURTS = {
    "kill -9 a rank": (kill("rank"), ("creating", "first commit", "steady", "partial rows"), 4),
    "kill -9 rank 0": (kill("rank 0"), ("creating", "first commit", "steady", "partial rows"), 3),
    "kill -9 all ranks": (kill("all ranks"), ("creating", "first commit", "steady", "partial rows"), 4),
    "kill -9 mpirun": (kill("mpirun"), ("creating", "first commit", "steady", "partial rows"), 3),
    "SIGTERM to a rank": (stop_signal(signal.SIGTERM, "rank"), ("creating", "first commit", "steady", "partial rows"), 1),
    "SIGTERM to mpirun": (stop_signal(signal.SIGTERM, "mpirun"), ("creating", "first commit", "steady", "partial rows"), 1),
    "SIGUSR1 to a rank": (stop_signal(signal.SIGUSR1, "rank"), ("creating", "first commit", "steady", "partial rows"), 1),
    "SIGUSR1 to mpirun": (stop_signal(signal.SIGUSR1, "mpirun"), ("creating", "first commit", "steady", "partial rows"), 1),
    "stop, then kill -9": (stop_then_kill, ("steady", "partial rows"), 2),
    "time limit": (time_limit, ("steady", "partial rows"), 1),
    "killed before its n-th call": (fault("kill"), ("creating", "first commit", "steady", "partial rows"), 3),
    "killed after its n-th call": (fault("killed"), ("creating", "first commit", "steady", "partial rows"), 2),
    "EIO at its n-th call": (fault("eio"), ("creating", "first commit", "steady", "partial rows"), 2),
    "ENOSPC at its n-th call": (fault("enospc"), ("creating", "first commit", "steady", "partial rows"), 1),
    "a second run": (second_run, ("first commit", "steady", "partial rows"), 1),
    "zombie after an epoch change": (zombie, ("steady", "partial rows"), 1),
    "lock file removed": (lock_taken, ("steady", "partial rows"), 1),
    "kill -9 with export": (export_killed, ("exporting",), 1),
}
