"""A job in bf16: it learns as one in f32 does, says what it runs with, and comes back bit-identical from kills."""
import re

from job import Case, exports, kill_at, result, run, start

KILLS = ["pretrain 6/10", "search 18/30", "finetune 6/10"]


def losses(log, phase):
    return [float(loss) for loss in re.findall(rf"{phase} \d+/\d+ loss (\S+)", log)]


case = Case()
try:
    job = case.job("bf16", overrides=[("train.precision", "bf16")])
    process = start(job)
    log, _ = process.communicate(timeout=500)
    if process.returncode == 15:
        assert "train.precision is bf16" in log and "set train.precision: f32" in log, log
        print("SKIPPED: this processor has no AVX-512 BF16; the job was refused")
        raise SystemExit(0)
    assert process.returncode == 0, log[-4000:]
    record = (job / "reproduce.json").read_text()
    assert " bf16 threads=" in record, record

    other = case.job("f32")
    reference = run(other)
    assert exports(job) != exports(other), "nothing was rounded"
    for phase in ("warmup", "pretrain", "task", "finetune"):
        rounded, whole = losses(log, phase), losses(reference, phase)
        assert len(rounded) == len(whole) > 0
        for a, b in zip(rounded, whole):
            assert abs(a - b) <= 0.03 * b, (phase, a, b)

    killed = case.job("killed", overrides=[("train.precision", "bf16")])
    for pattern in KILLS:
        assert kill_at(killed, pattern), f"the job ended before '{pattern}'"
    assert "resumed from" in run(killed)
    assert exports(job) == exports(killed), "weights differ after kills"
    assert result(job) == result(killed)
finally:
    case.close()
print(f"{len(KILLS)} kills, bit-identical")
