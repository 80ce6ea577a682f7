"""The jobs that things happen to, each with the file that it has to end with."""
import json
import os

from job import Job
from result_view import Reference


def make_jobs(program, model, folder):
    """Short rows; the same with logprobs; long rows; texts that are scored. Each has been run once, undisturbed."""
    prompts = os.path.join(folder, "prompts.jsonl")
    write_prompts(prompts)
    short = ["--max-length", "80", "--samples-per-prompt", "3", "--slots", "6", "--temperature", "0.9", "--seed", "3"]
    long = ["--max-length", "300", "--eod-token-id=-1", "--slots", "6", "--logprobs", "--temperature", "0.7"]
    jobs = [Job(name, folder, [program, "generate"], model, prompts, options)
            for name, options in (("short rows", short), ("short rows with logprobs", short + ["--logprobs"]),
                                  ("long rows", long))]
    texts = os.path.join(folder, "texts.jsonl")
    write_texts(texts)
    jobs.append(Job("scores", folder, [program, "score"], model, texts, ["--slots", "2", "--top-logprobs", "2"]))
    for job in jobs:
        make_reference(job)
    return jobs


def write_prompts(path):
    """Two hundred prompts, every 40th of which is none."""
    with open(path, "w", encoding="utf-8") as file:
        for i in range(200):
            file.write("no JSON\n" if i % 40 == 7 else json.dumps({"prompt": f"Tim has {i} red balls and"[:i % 27]}) + "\n")


def write_texts(path):
    """Texts of 5 to about 400 tokens, every 40th of which is none."""
    with open(path, "w", encoding="utf-8") as file:
        for i in range(400):
            text = "Tim has a red ball." + " He ran to the big tree and saw a cat." * (i * i % 31)
            file.write("no JSON\n" if i % 40 == 7 else json.dumps({"prompt": text}) + "\n")


def make_reference(job):
    path = os.path.join(job.folder, f"reference {job.name}.h5")
    run = job.start(path, "1")
    code = run.finish()
    if code != 0:
        raise RuntimeError(f"the run that nothing happens to failed with {code}: {run.text()}")
    job.reference = Reference(path)
