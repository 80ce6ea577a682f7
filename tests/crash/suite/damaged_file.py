"""A finished file in which bits have flipped, or that was cut short."""
import os
import random
import time


def damaged_file(job, folder, grid):
    """A run finds what is damaged, says so and makes it again; a file that is cut short is refused."""
    start = time.monotonic()
    output = os.path.join(folder, "damaged out.h5")
    problems = []
    content = bytearray(job.reference.content)
    flips = random.randint(1, 4)
    for _ in range(flips):
        # Half of them into the first pages: metadata and records.
        at = random.randrange(len(content) if random.random() < 0.5 else min(len(content), 40 << 10))
        content[at] ^= 1 << random.randrange(8)
    whole = bytes(content) == job.reference.content  # one bit twice
    write(output, content)
    run = job.start(output, grid)
    code = run.finish()
    if code != 0:
        problems.append(f"exit code {code} after {flips} flipped bits: {run.text()}")
    elif not whole and "damaged" not in run.text():
        problems.append(f"nothing said of {flips} flipped bits: {run.text()}")
    with open(output, "rb") as file:
        if file.read() != job.reference.content:
            problems.append("the repaired file differs from what it was")
    write(output, job.reference.content[:random.randrange(len(job.reference.content))])
    run = job.start(output, grid)
    code = run.finish()
    if code != 65:
        problems.append(f"exit code {code} for a file that is cut short: {run.text()}")
    for name in os.listdir(folder):
        if name.startswith("damaged out.h5"):
            os.remove(os.path.join(folder, name))
    for problem in problems:
        print(f"BROKEN: damaged file, {grid}: {problem}")
    return {"hurt": "damaged file", "phase": "", "grid": grid, "job": job.name, "counted": False, "in_flight": False,
            "acknowledged": 0, "partial": 0, "seconds": round(time.monotonic() - start, 2), "problems": problems}


def write(path, content):
    with open(path, "wb") as file:
        file.write(content)
