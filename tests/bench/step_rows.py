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
    return tuple(name % size for name in ("step_%s_current", "memory_%s_f32", "memory_%s_above_weights_f32", "gemm_share_%s", "nongemm_%s",
                                          "gemm_rate_%s"))


def run(argv):
    return json.loads(machine.output(argv).splitlines()[-1])


def peer_argv(python, folder, size, batch, threads, steps):
    return [python, PEER, "--size", size, "--batch", str(batch), "--threads", str(threads), "--steps", str(steps), "--load", folder]


def better_threads(python, folder, size, batch, threads):
    """PyTorch may be faster with fewer threads than it is allowed: it gets its better number."""
    if threads == 1:
        return 1
    trial = {n: median(run(peer_argv(python, folder, size, batch, n, 2))["step_ms"]) for n in (1, threads)}
    return min(trial, key=trial.get)


def check_same(size, first, peer):
    a, b = first["loss"], peer["loss"]
    if not abs(a - b) <= SAME_LOSS * abs(b):
        raise machine.Refused("%s: the first loss is %g here and %g in %s: they do not compute the same"
                              % (size, a, b, peer["library"]))
    if first["params"] != peer["params"]:
        raise machine.Refused("%s: %d parameters here, %d in %s" % (size, first["params"], peer["params"], peer["library"]))


def step_argv(o, size, batch, threads, *more):
    return [os.path.join(o.programs, "bench_step"), "--size", size, "--batch", str(batch), "--threads", str(threads), *more]


def compare(o, size, batch, threads, steps):
    """Alternates all sides; -> (runs of ours, one list of runs a peer), each the programs' JSON."""
    pythons = [o.peer_python] + ([o.torch] if o.torch else [])
    ours, peers = [], [[] for _ in pythons]
    with tempfile.TemporaryDirectory(prefix="espalier-bench-") as folder:
        argv = step_argv(o, size, batch, threads)
        first = run(argv + ["--steps", "1", "--save", folder])
        best = [better_threads(python, folder, size, batch, threads) for python in pythons]
        for _ in range(o.repeat):
            ours.append(run(argv + ["--steps", str(steps)]))
            for runs, python, n in zip(peers, pythons, best):
                runs.append(run(peer_argv(python, folder, size, batch, n, steps)))
    for runs in peers:
        check_same(size, first, runs[0])
    return ours, peers


def steps_of(runs, key="step_ms"):
    return [ms for r in runs for ms in r[key]]


PARTS = ("forward", "backward", "optimiser", "cpu")


def parts_of(runs):
    return {k: median(steps_of(runs, k + "_ms")) for k in PARTS}


def torch_is(runs):
    """Which PyTorch, and in which setting."""
    n = runs[0]["threads"]
    return "%s, %d thread%s" % (runs[0]["library"].split(",")[0].split("+")[0], n, "s" * (n > 1))


def step_rows(o, size, batch, threads, steps):
    ours, peers = compare(o, size, batch, threads, steps)
    peer, mib = peers[0], 1 << 20
    peak = [median([r["peak_rss_bytes"] for r in runs]) / mib for runs in (ours, peer)]
    weights = 16 * ours[0]["params"] / mib
    common = dict(params=ours[0]["params"], batch=batch, threads=threads, ours_library=ours[0]["library"])

    def time_row(name, peer):
        return row(name, median(steps_of(ours)), "ms", "lower", median(steps_of(peer)), torch_is(peer), span(steps_of(ours)),
                   parts_ms=dict(ours=parts_of(ours), peer=parts_of(peer)), loss=[ours[0]["loss"], peer[0]["loss"]],
                   peer_library=peer[0]["library"], **common)
    rows = [time_row("step_%s_f32" % size, peer)] + [time_row("step_%s_current" % size, p) for p in peers[1:]]
    return rows + [row("memory_%s_f32" % size, peak[0], "MiB", "lower", peak[1], "PyTorch, whole process", **common),
                   row("memory_%s_above_weights_f32" % size, peak[0] - weights, "MiB", "lower", peak[1] - weights,
                       "PyTorch, above 16 bytes a parameter", **common)] + product_rows(size, ours, threads)


def bf16_rows(o, size, batch, threads, steps):
    """Our own step with rounded operands against our own without, in turn."""
    name = "step_%s_bf16" % size
    if not machine.has("avx512_bf16"):
        machine.note("%s: left out, this processor has no AVX-512 BF16" % name)
        return []
    runs = {"cpu": [], "cpu-bf16": []}
    for _ in range(o.repeat):
        for backend, done in runs.items():
            done.append(run(step_argv(o, size, batch, threads, "--steps", str(steps), "--backend", backend)))
    ours, f32 = runs["cpu-bf16"], runs["cpu"]
    a, b = ours[0]["loss"], f32[0]["loss"]
    if a == b or not abs(a - b) <= 0.01 * abs(b):
        raise machine.Refused("%s: the first loss is %g in bf16 and %g in f32" % (size, a, b))
    return [row(name, median(steps_of(ours)), "ms", "lower", median(steps_of(f32)), "our own step in f32", span(steps_of(ours)),
                parts_ms=dict(ours=parts_of(ours), peer=parts_of(f32)), loss=[a, b], batch=batch, threads=threads,
                ours_library=ours[0]["library"], peer_library=f32[0]["library"])]


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


def step_small_bf16(o):
    """The step of `small` with train.precision bf16 against f32."""
    return bf16_rows(o, "small", 8, 2, 5)


def step_large_bf16(o):
    """The step of `large` with train.precision bf16 against f32."""
    return bf16_rows(o, "large", 1, 2, 3)


def infer_row(o, name, size, batch, threads, steps):
    runs = [run([os.path.join(o.programs, "bench_infer"), "--size", size, "--batch", str(batch), "--threads", str(threads),
                 "--steps", str(steps)]) for _ in range(o.repeat)]
    ours, dense = steps_of(runs, "hardened_ms"), steps_of(runs, "dense_ms")
    cpu = {side: dict(cpu=median(steps_of(runs, k + "_cpu_ms"))) for side, k in (("ours", "hardened"), ("peer", "dense"))}
    return row(name, median(ours), "ms", "lower", median(dense), "the dense model, same batch", span(ours), parts_ms=cpu,
               batch=batch, threads=threads, **{k: runs[0][k] for k in ("backbones_kept", "macs_kept", "library")})


def compressed_inference(o):
    """Predictions of a hardened model whose backbones lost 40 % of their weights to pruning, against the dense one."""
    return [infer_row(o, "compressed_inference", "small", 8, 2, 5),
            infer_row(o, "compressed_inference_large", "large", 1, 2, 5)]
