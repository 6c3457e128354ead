"""What a job costs, measured from espalier-worker itself: the lines of its log, stamped as they come."""
import json
import os
import re
import signal
import subprocess
import tempfile
import time

import machine
from rows import median, row, span

JOB = """\
name: benchmark
model: {{size: {size}}}
data: {{pretrain: {data}/train_captions.json, task: {data}/train_rec.json, eval: {data}/test_rec.json,
       vocabulary: {data}/vocabulary.txt, holdout: 0.2}}
train: {{batch: {batch}, seed: 1, log_every: {every}, checkpoint_every: 1000000, checkpoint_keep: 1, on_collapse: ignore}}
phases: {{{phases}}}
method: {{target: 0.7, every: 20, warm: 0, freeze_at: 0.5, freeze_latest: 0.5, gamma_ramp: 1}}
evaluate: {{limit: 1}}
export: {{shared: false, expanded: false}}
resources: {{ranks: {ranks}, threads: {threads}}}
"""
LINE = re.compile(r"worker\S*: (\w+) (\d+)/(\d+) loss (\S+)")
COST = re.compile(r"metric comm\.(\w+) = (\S+)")


def make_data(o, folder, pixels, scenes):
    """Seconds that ShapeRef took."""
    begun = time.monotonic()
    machine.output([os.path.join(o.bin, "espalier-worker"), "data", "make", "shaperef", "--out", folder, "--seed", "1",
                    "--size", str(pixels), "--objects", "3-4", "--train", str(scenes), "--val", "0", "--test", "1",
                    "--expressions", "5", "--quiet"])
    return time.monotonic() - begun


def kill_ranks(mpirun):
    """A job whose measured part is over would go on to write checkpoints; mpirun ends when its ranks do."""
    with open("/proc/%d/task/%d/children" % (mpirun.pid, mpirun.pid)) as f:
        for pid in f.read().split():
            os.kill(int(pid), signal.SIGKILL)


def stamps(o, folder, enough=None, **how):
    """Runs a job; -> {phase: [(step, seconds)]} of its progress lines, and under "comm" the newest cost of the sums over
    ranks. It is ended after the line of phase and step `enough`, and with ranks after the costs that follow it."""
    os.makedirs(folder)
    with open(os.path.join(folder, "job.yaml"), "w") as f:
        f.write(JOB.format(**how))
    argv = ["mpirun", "-n", str(how["ranks"]), "--oversubscribe", "--bind-to", "none", os.path.join(o.bin, "espalier-worker"),
            "run", "--job-dir", folder]
    seen, log, over = {}, [], False
    job = subprocess.Popen(argv, env=machine.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True)
    for line in job.stdout:
        now = time.monotonic()
        log.append(line)
        cost, found = COST.search(line), LINE.search(line)
        if cost:
            seen.setdefault("comm", {})[cost.group(1)] = float(cost.group(2))
            if over and cost.group(1) == "exposed":
                kill_ranks(job)
                over = False
        if found:
            phase, step, _, loss = found.groups()
            if not float("-inf") < float(loss) < float("inf"):
                raise machine.Refused("a job's loss is %s" % loss)
            seen.setdefault(phase, []).append((int(step), now))
            over = (phase, int(step)) == enough
            if over and how["ranks"] == 1:
                kill_ranks(job)
    if job.wait() and not enough:
        raise machine.Refused("a job ended with %d: %s" % (job.returncode, "".join(log[-8:])))
    return seen


def pace(points, first, last):
    """Seconds a step between two progress lines."""
    at = dict(points)
    if first not in at or last not in at:
        raise machine.Refused("a job gave no progress line of step %d or %d" % (first, last))
    return (at[last] - at[first]) / (last - first)


# Active window and freeze phase are both SEARCH / 2 steps, and hold whole rounds of K = 20.
PLAIN, SEARCH, EVERY = 120, 240, 20


def search_once(o, data, folder, size, batch):
    seen = stamps(o, folder, size=size, data=data, batch=batch, every=EVERY, ranks=1, threads=2,
                  phases="task: {steps: %d}, search: {steps: %d, schedule: constant}" % (PLAIN, SEARCH))
    half = SEARCH // 2
    with open(os.path.join(folder, "result.json")) as f:
        share = json.load(f)["hypernet_share"]
    return dict(plain=pace(seen["task"], EVERY, PLAIN), active=pace(seen["search"], EVERY, half),
                pull=pace(seen["search"], half + EVERY, SEARCH), share=share)


def search_overhead(o):
    """A step of a search, with its part of the hypernetwork's (K = 20) or with the pull, against a plain step."""
    with tempfile.TemporaryDirectory(prefix="espalier-bench-") as tmp:
        data = os.path.join(tmp, "data")
        make_data(o, data, 64, 200)
        runs = [search_once(o, data, os.path.join(tmp, "job-%d" % i), "tiny", 16) for i in range(o.repeat)]
    value = {k: 1e3 * median([r[k] for r in runs]) for k in ("plain", "active", "pull")}
    ratio = {k: median([r[k] / r["plain"] for r in runs]) for k in ("active", "pull")}
    detail = dict(model="tiny, batch 16, 1 rank x 2 threads", repetitions=runs)
    both = (value["active"] + value["pull"]) / 2
    rows = [row("search_overhead", both, "ms/step", "lower", value["plain"], "plain step of the same job", **detail),
            row("search_active", value["active"], "ms/step", "lower", value["plain"], "plain step; with the hypernetwork, K = 20"),
            row("search_pull", value["pull"], "ms/step", "lower", value["plain"], "plain step; after the freeze, with the pull")]
    rows[0]["ratio"] = (ratio["active"] + ratio["pull"]) / 2
    rows[1]["ratio"], rows[2]["ratio"] = ratio["active"], ratio["pull"]
    rows[1]["hypernet_share_of_search"] = median([r["share"] for r in runs])
    return rows


def ranks_once(o, data, folder, size, batch, steps, ranks, threads):
    """steps after as many as half of them for warming up; -> images a second, cost of the sums a step."""
    every = steps // 2
    seen = stamps(o, folder, enough=("pretrain", every + steps), size=size, data=data, batch=batch, every=every, ranks=ranks,
                  threads=threads, phases="pretrain: {steps: %d}" % (4 * steps))
    return batch / pace(seen.get("pretrain", []), every, every + steps), seen.get("comm")


def ranks_rows(o, name, size, pixels, batch, steps):
    two, one, costs = [], [], []
    with tempfile.TemporaryDirectory(prefix="espalier-bench-") as tmp:
        data = os.path.join(tmp, "data")
        make_data(o, data, pixels, 4 * batch)
        for i in range(o.repeat):
            rate, cost = ranks_once(o, data, os.path.join(tmp, "two-%d" % i), size, batch, steps, 2, 1)
            two.append(rate)
            costs.append(cost)
            one.append(ranks_once(o, data, os.path.join(tmp, "one-%d" % i), size, batch, steps, 1, 2)[0])
    cost = {k: median([c[k] for c in costs]) for k in costs[0]}
    machine.note("%s: %.1f MiB on the wire a step and rank; %.1f ms exposed after backward, %.1f ms of transport within it"
                 % (name, cost["wire"], cost["exposed"], cost["inside_backward"]))
    return [row(name, median(two), "images/s", "higher", median(one), "1 rank x 2 threads, same global batch", span(two),
                model="%s, global batch %d" % (size, batch), wire_mib_per_step=cost["wire"],
                exposed_ms_per_step=cost["exposed"], transport_ms_in_backward=cost["inside_backward"])]


def ranks_2x1(o):
    """Training throughput of 2 ranks x 1 thread against 1 rank x 2 threads, `tiny` and `small`."""
    return (ranks_rows(o, "ranks_2x1", "tiny", 64, 16, 60) +
            ranks_rows(o, "ranks_2x1_small", "small", 224, 8, 4))


def data_images_per_s(o):
    """ShapeRef pictures made a second (64 px, captions and expressions written too); the floor is 200."""
    scenes, rates = 1000, []
    with tempfile.TemporaryDirectory(prefix="espalier-bench-") as tmp:
        for i in range(o.repeat + 1):
            folder = os.path.join(tmp, str(i))
            rates.append((scenes + 1) / make_data(o, folder, 64, scenes))
            made = sum(name.endswith(".png") for _, _, names in os.walk(folder) for name in names)
            if made != scenes + 1:
                raise machine.Refused("data make left %d pictures of %d" % (made, scenes + 1))
    return [row("data_images_per_s", median(rates[1:]), "images/s", "higher", 200, "the floor that was set", span(rates[1:]))]
