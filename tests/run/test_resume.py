"""A job killed (SIGKILL of mpirun and all ranks) in every phase and restarted ends bit-identical to one never killed."""
from job import Case, exports, kill_at, result, run

# In the middle of every phase, between checkpoints (every 4 steps), and around the freeze.
KILLS = ["warmup 6/10", "pretrain 6/10", "task 2/10", "stage dense", "control 6/10", "search 6/30", "search 18/30",
         "search 22/30", "stage harden", "finetune 6/10", "stage export"]

case = Case()
try:
    whole, killed = case.job("whole"), case.job("killed")
    run(whole)
    for pattern in KILLS:
        assert kill_at(killed, pattern), f"the job ended before '{pattern}'"
    for folder in "checkpoints", "export":
        (killed / folder).mkdir(exist_ok=True)
        (killed / folder / "pending-1.safetensors.tmp.77").write_bytes(b"half")
    log = run(killed)
    assert "resumed from" in log, log
    assert not list(killed.rglob("*pending-*")), "what a kill left half written is there for ever"
    assert exports(whole) == exports(killed), "weights differ after kills"
    assert result(whole) == result(killed), (result(whole), result(killed))

    # A damaged newest checkpoint is named and passed over; the one before it serves.
    damaged = case.job("damaged")
    assert kill_at(damaged, "finetune 6/10")
    newest = sorted((damaged / "checkpoints").glob("step-*.safetensors"))[-1]
    newest.write_bytes(newest.read_bytes()[:-100])
    log = run(damaged)
    assert "passed over" in log and newest.name in log, log
    assert exports(whole) == exports(damaged)

    # So is one with a single flipped bit in the weights.
    flipped = case.job("flipped")
    assert kill_at(flipped, "finetune 6/10")
    newest = sorted((flipped / "checkpoints").glob("step-*.sha256"))[-1].with_suffix("")
    raw = bytearray(newest.read_bytes())
    raw[-1000] ^= 4
    newest.write_bytes(raw)
    log = run(flipped)
    assert "its SHA-256 is not the one" in log and "passed over" in log, log
    assert exports(whole) == exports(flipped)

    # And one that was killed before its sum was written.
    unfinished = case.job("unfinished")
    assert kill_at(unfinished, "finetune 6/10")
    sums = sorted((unfinished / "checkpoints").glob("step-*.sha256"))
    sums[-1].unlink()
    log = run(unfinished)
    assert "its writing was not finished" in log and sums[-1].with_suffix("").name in log, log
    assert exports(whole) == exports(unfinished)

    # An older attempt that wakes up behind the fence writes nothing.
    fenced = case.job("fenced")
    (fenced / "checkpoints").mkdir()
    (fenced / "checkpoints" / "fence").write_text("2\n")
    log = run(fenced, expect=5)
    assert "superseded by attempt 2" in log, log
    assert not list((fenced / "checkpoints").glob("step-*"))
finally:
    case.close()
print(f"{len(KILLS)} kills, bit-identical")
