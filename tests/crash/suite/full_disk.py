"""A disk that fills up: a small file system on a loop device. Needs root."""
import os
import shutil
import subprocess
import time

from result_view import Watcher

DISK_BYTES = 12 << 20
ROOM_BYTES = 250 << 10


def obstacle():
    """Why this machine cannot mount a small file system; None if it can."""
    if os.geteuid() != 0:
        return "needs root"
    if not os.path.exists("/dev/loop-control"):
        return "needs loop devices"
    if shutil.which("mkfs.ext4") is None:
        return "needs mkfs.ext4 (Debian: e2fsprogs)"
    return None


def full_disk(job, folder, grid):
    """A run ends with 74 when no room is left; with room it goes on, on another grid, to the same file."""
    start = time.monotonic()
    image, mount = os.path.join(folder, "disk"), os.path.join(folder, "mount")
    with open(image, "wb") as file:
        file.truncate(DISK_BYTES)
    os.makedirs(mount, exist_ok=True)
    for command in (["mkfs.ext4", "-q", "-F", "-m", "0", image], ["mount", "-o", "loop", image, mount]):
        subprocess.run(command, check=True)
    try:
        return _fill(job, mount, grid, start)
    finally:
        subprocess.run(["umount", mount], check=True)
        os.remove(image)


def _fill(job, mount, grid, start):
    output = os.path.join(mount, "out.h5")
    filler = os.path.join(mount, "filler")
    free = os.statvfs(mount).f_bavail * os.statvfs(mount).f_frsize
    with open(filler, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, free - ROOM_BYTES)
    watcher = Watcher(job.reference, output)
    run = job.start(output, grid)
    run.wait_until(lambda: watcher.look() < 0)
    code = run.finish()
    problems, counts = job.reference.judge(output, watcher.acknowledged)
    if code != 74:
        problems.append(f"exit code {code} on a full disk: {run.text()}")
    os.remove(filler)
    again = job.start(output, "2" if grid != "2" else "1")
    code = again.finish()
    if code != 0:
        problems.append(f"exit code {code} when there is room again: {again.text()}")
    if os.path.exists(output):
        with open(output, "rb") as file:
            if file.read() != job.reference.content:
                problems.append("the finished file differs from that of an uninterrupted run")
    for problem in problems:
        print(f"BROKEN: full disk, {grid}: {problem}")
    return {"hurt": "full disk", "phase": "steady", "grid": grid, "job": job.name, "counted": True, "in_flight": run.has_begun(),
            "acknowledged": len(watcher.acknowledged), "partial": counts.get(3, 0),
            "seconds": round(time.monotonic() - start, 2), "problems": problems}
