"""train.shard_optimizer: moments shared out over the ranks change no bit of anything, whatever the number of ranks before or after."""
import json

from job import Case, exports, kill_at, result, run, tensors

SHARD = [("train.shard_optimizer", "true")]
SHORT = [(f"phases.{s}.steps", 0) for s in ("warmup", "pretrain", "control", "finetune")] + [
    ("phases.task.steps", 10), ("phases.search.steps", 10), ("train.batch", 12), ("train.log_every", 1)]


def newest(folder):
    return tensors(sorted((folder / "checkpoints").glob("step-*.safetensors"))[-1])


def whole(case, ranks, name, more):
    folder = case.job(f"{name}-{ranks}", ranks, SHORT + more)
    log = run(folder, ranks)
    return folder, log


case = Case()
try:
    for ranks in (2, 3):
        plain, _ = whole(case, ranks, "plain", [])
        sharded, log = whole(case, ranks, "sharded", SHARD + [("train.trace_steps", 1)])
        assert exports(plain) == exports(sharded), ranks
        assert result(plain) == result(sharded), ranks
        names = {e["name"] for e in json.loads((sharded / "trace.json").read_text())["traceEvents"]}
        assert "share weights" in names and "bucket 0" in names, names

    # In the middle of a phase: the file holds whole moments, and those are the same.
    stopped = {}
    for name, more in (("plain", []), ("sharded", SHARD)):
        stopped[name] = case.job(f"stopped-{name}", 3, SHORT + more + [("train.checkpoint_every", 6), ("phases.search.steps", 0)])
        assert kill_at(stopped[name], "task 7/10", 3)
    a, b = (newest(stopped[name]) for name in ("plain", "sharded"))
    assert a == b and any(any(v) for n, v in a.items() if n.startswith("adam.v/"))

    # From there with the moments whole again, and the other way about: the same end. With other numbers of ranks it goes on.
    for name, value in (("plain", "true"), ("sharded", "false")):
        overrides = json.loads((stopped[name] / "overrides.json").read_text())
        (stopped[name] / "overrides.json").write_text(json.dumps(overrides + [{"key": "train.shard_optimizer", "value": value}]))
        log = run(stopped[name], 3)
        assert "resumed from" in log and "bit-identical" not in log, log
    assert exports(stopped["plain"]) == exports(stopped["sharded"])

    moved = case.job("moved", 3, SHORT + SHARD + [("train.checkpoint_every", 2)])
    assert kill_at(moved, "task 5/10", 3)
    assert kill_at(moved, "task 8/10", 1)
    assert "resumed with 2 ranks from a checkpoint of 1" in run(moved, 2)
    assert json.loads((moved / "result.json").read_text())["job"]["weight_steps"] == 20
finally:
    case.close()
