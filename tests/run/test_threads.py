"""Ranks that mpirun left on the same cores share them out; more threads than cores become fewer; a mask that is there stays."""
import json
import os
import re
import subprocess

from job import ENV, MPIRUN, WORKER, Case

ONE_STEP = [(f"phases.{s}.steps", 0) for s in ("warmup", "pretrain", "control", "search", "finetune")] + [("phases.task.steps", 1)]
CPUS = sorted(os.sched_getaffinity(0))


def cpus(text):
    out = set()
    for part in text.split(","):
        low, _, high = part.partition("-")
        out |= set(range(int(low), int(high or low) + 1))
    return out


def bound(folder, ranks, options):
    p = subprocess.run([*options, MPIRUN, "-n", str(ranks), "--oversubscribe", "--bind-to", "none", WORKER, "run",
                        "--job-dir", str(folder)], env=ENV, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    log = p.stdout + p.stderr
    assert p.returncode == 0, log
    found = {}
    for rank, threads, rest in re.findall(r"rank (\d+) on \S+: (\d+) threads?, (.*)", log):
        found[int(rank)] = (int(threads), rest)
    assert len(found) == ranks, log
    return found, log


case = Case()
try:
    if len(CPUS) > 1:
        found, _ = bound(case.job("two", 2, ONE_STEP), 2, [])
        first, second = (cpus(found[r][1].removeprefix("cores ")) for r in (0, 1))
        assert first and second and not first & second and first | second == set(CPUS), found
    else:
        print("skipped: one core cannot be shared out")

    # Two ranks on one core, by a mask from outside: not bound, and never two threads.
    found, log = bound(case.job("crowded", 2, ONE_STEP + [("resources.threads", 2)]), 2, ["taskset", "-c", str(CPUS[0])])
    for rank in (0, 1):
        assert found[rank] == (1, "not bound, 2 ranks share 1 core"), found
    assert "2 threads a rank were asked for (resources.threads), but 2 ranks share 1 core here: it is 1 thread" in log and (len(os.sched_getaffinity(0)) == 1 or "--bind-to none" in log), log

    # One rank within a mask.
    masked = case.job("masked", 1, ONE_STEP + [("resources.threads", 64)])
    found, log = bound(masked, 1, ["taskset", "-c", str(CPUS[-1])])
    assert found[0] == (1, f"cores {CPUS[-1]}"), found
    assert "64 threads a rank were asked for" in log, log
    reproduce = json.loads((masked / "reproduce.json").read_text())
    assert re.search(r"threads: 64\b", reproduce["effective_job_file"]) and reproduce["machine"]["threads_per_rank"] == 1, reproduce
finally:
    case.close()
