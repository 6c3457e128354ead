"""Two ranks x batch B give the gradient of one rank x batch 2B, and so does accumulation over micro-batches."""
import json

from job import Case, run, tensors

# Compared is the gradient of a phase's first step, from equal weights: a checkpoint after it holds AdamW's first
# moment, which is 0.1 times the (clipped) gradient. Later steps are no test: AdamW divides by the root of tiny second moments
# and the matching is discontinuous, so rounding grows without bound.
# Sums are rounded in another order: relative to the tensor's largest element that is about 1e-6 a layer; a wrong
# normaliser is off by 0.5.
TOLERANCE = 2e-4
# bf16 on the wire: each rank rounds its share, the sum is rounded again: 2^-9 of what was rounded, each time, and shares may be
# several times their sum.
BF16_TOLERANCE = 3e-2

STAGES = {"warmup": 0, "pretrain": 1, "task": 2}
SETUPS = {"one": (1, []), "two": (2, []), "micro": (1, [("train.micro_batch", 2)]), "both": (2, [("train.micro_batch", 2)])}


def gradient(case, stage, name, ranks, more):
    only = [(f"phases.{s}.steps", 2 if s == stage else 0)
            for s in ("warmup", "pretrain", "task", "control", "search", "finetune")]
    folder = case.job(f"{stage}-{name}", ranks, only + more + [("train.checkpoint_every", 1), ("train.checkpoint_keep", 9)])
    run(folder, ranks)
    file = folder / "checkpoints" / f"step-{16 + STAGES[stage]:012d}.safetensors"
    return {n: v for n, v in tensors(file).items() if n.startswith("adam.m/")}


def distance(a, b):
    worst = (0, "")
    for name in a:
        scale = max(map(abs, a[name]))
        if scale > 1e-9:
            worst = max(worst, (max(abs(x - y) for x, y in zip(a[name], b[name])) / scale, name))
    return worst


case = Case()
try:
    for stage in STAGES:
        grads = {name: gradient(case, stage, name, *setup) for name, setup in SETUPS.items()}
        for name in ("two", "micro", "both"):
            d, where = distance(grads["one"], grads[name])
            print(f"{stage} {name}: largest relative difference {d:.1e} in {where}")
            assert d < TOLERANCE
    rounded = gradient(case, "task", "bf16", 2, [("train.wire", "bf16")])
    d, where = distance(grads["two"], rounded)
    print(f"task bf16: largest relative difference {d:.1e} in {where}")
    assert 1e-4 < d < BF16_TOLERANCE
    assert gradient(case, "task", "bf16-again", 2, [("train.wire", "bf16")]) == rounded

    # Threads that load ahead change nothing.
    assert gradient(case, "task", "no-threads", 2, [("data.threads", 0)]) == grads["two"]

    # The trace: both ranks, each kind of span, nothing that ends before it begins; two steps of each phase that runs.
    folder = case.job("trace", 2, [("train.trace_steps", 2)])
    log = run(folder, 2)
    assert "metric comm.wire = " in log and "metric comm.exposed = " in log, log
    spans = [e for e in json.loads((folder / "trace.json").read_text())["traceEvents"] if e["ph"] in "Xbe"]
    for rank in (0, 1):
        own = [e for e in spans if e["pid"] == rank]
        names = {e["name"] for e in own}
        assert names >= {"step", "wait for batch", "forward", "backward", "bucket 0", "wait for buckets", "agree", "optimiser"}, names
        assert sum(e["name"] == "step" for e in own) == 2 * 6
        begun = {}
        for e in own:
            assert e["ts"] >= 0 and e.get("dur", 0) >= 0
            if e["ph"] == "b":
                begun[e["id"]] = e["ts"]
            if e["ph"] == "e":
                assert e["ts"] >= begun.pop(e["id"])
        assert not begun
finally:
    case.close()
