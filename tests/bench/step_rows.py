"""One training step against the same model in PyTorch: time and memory."""
import json
import os
import tempfile

import machine
from rows import median, row, span

PEER = os.path.join(machine.HERE, "torch_step.py")
SAME_LOSS = 1e-3  # relative; equal weights and batch, other order of sums


def beside(size):
    """Names of the rows that a step gives beside its time."""
    return tuple(name % size for name in ("memory_%s_f32", "memory_%s_above_weights_f32", "gemm_share_%s", "nongemm_%s",
                                          "gemm_rate_%s"))


def run(argv):
    return json.loads(machine.output(argv).splitlines()[-1])


def peer_argv(o, folder, size, batch, threads, steps):
    return [o.peer_python, PEER, "--size", size, "--batch", str(batch), "--threads", str(threads), "--steps", str(steps),
            "--load", folder]


def better_threads(o, folder, size, batch, threads):
    """PyTorch may be faster with fewer threads than it is allowed: it gets its better number."""
    if threads == 1:
        return 1
    trial = {n: median(run(peer_argv(o, folder, size, batch, n, 2))["step_ms"]) for n in (1, threads)}
    return min(trial, key=trial.get)


def compare(o, size, batch, threads, steps):
    """Alternates both sides; -> (runs of ours, runs of the peer), each a list of the programs' JSON."""
    ours, peer = [], []
    with tempfile.TemporaryDirectory(prefix="espalier-bench-") as folder:
        argv = [os.path.join(o.programs, "bench_step"), "--size", size, "--batch", str(batch), "--threads", str(threads)]
        first = run(argv + ["--steps", "1", "--save", folder])
        peer_threads = better_threads(o, folder, size, batch, threads)
        for _ in range(o.repeat):
            ours.append(run(argv + ["--steps", str(steps)]))
            peer.append(run(peer_argv(o, folder, size, batch, peer_threads, steps)))
    a, b = first["loss"], peer[0]["loss"]
    if not abs(a - b) <= SAME_LOSS * abs(b):
        raise machine.Refused("%s: the first loss is %g here and %g in PyTorch: they do not compute the same" % (size, a, b))
    if first["params"] != peer[0]["params"]:
        raise machine.Refused("%s: %d parameters here, %d in PyTorch" % (size, first["params"], peer[0]["params"]))
    return ours, peer


def steps_of(runs, key="step_ms"):
    return [ms for r in runs for ms in r[key]]


def step_rows(o, size, batch, threads, steps):
    ours, peer = compare(o, size, batch, threads, steps)
    peer_is = "PyTorch, %d thread%s" % (peer[0]["threads"], "s" * (peer[0]["threads"] > 1))
    parts = {side: {k: median(steps_of(runs, k + "_ms")) for k in ("forward", "backward", "optimiser", "cpu")}
             for side, runs in (("ours", ours), ("peer", peer))}
    mib = 1 << 20
    peak = [median([r["peak_rss_bytes"] for r in runs]) / mib for runs in (ours, peer)]
    weights = 16 * ours[0]["params"] / mib
    common = dict(params=ours[0]["params"], batch=batch, threads=threads, ours_library=ours[0]["library"],
                  peer_library=peer[0]["library"])
    return [row("step_%s_f32" % size, median(steps_of(ours)), "ms", "lower", median(steps_of(peer)), peer_is,
                span(steps_of(ours)), parts_ms=parts, loss=[ours[0]["loss"], peer[0]["loss"]], **common),
            row("memory_%s_f32" % size, peak[0], "MiB", "lower", peak[1], "PyTorch, whole process", **common),
            row("memory_%s_above_weights_f32" % size, peak[0] - weights, "MiB", "lower", peak[1] - weights,
                "PyTorch, above 16 bytes a parameter", **common)] + product_rows(size, ours, threads)


def product_rows(size, ours, threads):
    """How much of the step's thread time was matrix products, and how fast they ran."""
    products, whole = median(steps_of(ours, "products_ms")), threads * median(steps_of(ours))
    return [row("gemm_share_%s" % size, 100 * products / whole, "%", "higher", 80, "at least 80 % of the step"),
            row("nongemm_%s" % size, 100 - 100 * products / whole, "%", "lower", 20, "at most 20 % of the step"),
            row("gemm_rate_%s" % size, median([r["gflop"] for r in ours]) / products * 1e3, "GFLOP/s a thread", "higher")]


def step_small(o):
    """One step of `small`: 224 px, batch 8, 2 threads; beside it the peak memory."""
    return step_rows(o, "small", 8, 2, 5)


def step_large(o):
    """The same of `large` (DeiT-B, RoBERTa-base, 6 + 6): 384 px, one picture, 2 threads."""
    return step_rows(o, "large", 1, 2, 3)


def step_tiny(o):
    """The same of `tiny`: 64 px, batch 16, 1 thread."""
    return step_rows(o, "tiny", 16, 1, 20)
