"""Resuming on another number of ranks works and is said; last-k, best-k by loss and by score, and the quota hold while a
job runs; scoring at checkpoints changes nothing that is trained."""
import json
import re
import struct

from job import Case, exports, kill_at, run

ONLY = [(f"phases.{s}.steps", 0) for s in ("warmup", "pretrain", "control", "search", "finetune")] + [("phases.task.steps", 40)]

EVALUATE = 8  # STAGE_EVALUATE of run.h


def names(folder):
    return sorted(p.name for p in (folder / "checkpoints").glob("step-*.safetensors"))


def state(folder, name):
    raw = (folder / "checkpoints" / name).read_bytes()
    n, = struct.unpack("<Q", raw[:8])
    return json.loads(json.loads(raw[8:8 + n])["__metadata__"]["espalier.state"])


case = Case()
try:
    # 2 ranks, killed; 1 rank goes on, then 2 again.
    job = case.job("ranks", 2, ONLY)
    assert kill_at(job, "task 10/40", 2)
    whole = state(job, names(job)[-1])
    assert whole["ranks"] == 2
    assert kill_at(job, "task 20/40", 1)
    assert state(job, names(job)[-1])["ranks"] == 1
    log = run(job, 2)
    assert "resumed with 2 ranks from a checkpoint of 1: the global batch is the same" in log, log
    assert "resumed from checkpoints/step-" in log
    result = json.loads((job / "result.json").read_text())
    assert result["job"]["weight_steps"] == 40 and result["job"]["ranks"] == 2, result["job"]

    # The two newest and the best two of the stage, by the moving average of the loss.
    job = case.job("best", 1, ONLY + [("checkpoint.best", 2), ("train.checkpoint_every", 2), ("train.log_every", 2)])
    assert kill_at(job, "task 32/40", 1)
    left = names(job)
    ema = {n: state(job, n)["metrics"].get("loss") for n in left}
    assert 2 <= len(left) <= 4, left
    assert all(e is not None for e in ema.values()), ema

    # The best by a score of the evaluation set; a resumed job keeps what was the best before, and ends as if nothing had been
    # scored.
    every = ONLY + [("phases.search.steps", 30), ("train.checkpoint_every", 5)]
    plain = case.job("plain", 2, every)
    run(plain, 2)
    scored = case.job("scored", 2, every + [("checkpoint.best", 1), ("checkpoint.best_by", "p1_giou"),
                                            ("evaluate.at_checkpoints", "true"), ("train.checkpoint_keep", 1)])
    assert kill_at(scored, "task 32/40", 2)
    assert state(scored, names(scored)[-1])["seconds"][EVALUATE] > 0  # no part of the stage's own
    metrics = [state(scored, n)["metrics"] for n in names(scored)]
    assert all(m.keys() == {"loss", "p1", "p5", "p10", "p1_macro", "p1_giou"} for m in metrics), metrics
    assert len(metrics) <= 2 and metrics[0]["p1_giou"] >= metrics[-1]["p1_giou"], metrics
    log = run(scored, 2)
    assert len(re.findall(r"metric eval\.p1_giou = ", log)) == 6, log  # task 35 and search 5 to 25
    assert exports(plain) == exports(scored)

    # A quota of about one file leaves the newest alone.
    mib = (job / "checkpoints" / left[-1]).stat().st_size / 2 ** 20
    job = case.job("quota", 1, ONLY + [("train.checkpoint_keep", 9), ("checkpoint.quota_mib", max(1, int(mib)))])
    assert kill_at(job, "task 30/40", 1)
    assert len(names(job)) == 1, names(job)
    run(job, 1)
finally:
    case.close()
