"""Paused and resumed, cancelled and retried, taken back to an older checkpoint: a job ends with the weights that it would have had."""
from harness import Bed, check_events, checkpoint_state, exports, undisturbed

bed = Bed().start()
try:
    whole = undisturbed(bed.case)

    # A pause writes a checkpoint where it stands; the next attempt goes on from there.
    job = bed.submit()
    for step, attempt in ((6, 1), (30, 2)):
        bed.wait_step(job, step)
        assert bed.cli("pause", job).split()[1] in ("PAUSING", "PAUSED")
        got = bed.wait(job, "PAUSED")
        assert got["attempt"] == attempt and not bed.processes(), got
        newest = max((bed.folder(job) / "checkpoints").glob("step-*.safetensors"))
        stood = checkpoint_state(newest)["total_step"]
        assert stood >= step and bed.cli_json("ping", "--json")["jobs_running"] == 0
        bed.restart()
        bed.cli("resume", job)
        got = bed.wait(job, "RUNNING")
        assert got["attempts"][-1]["resumed_step"] == stood, (stood, got["attempts"])
    got = bed.wait(job, "COMPLETED")
    assert [a["reason"] for a in got["attempts"]] == ["paused", "paused", ""], got["attempts"]
    check_events(bed, job)
    assert exports(bed, job) == whole

    # Back to the older of the two checkpoints that are kept: the newer one is set aside, and so it stays after a kill.
    job = bed.submit()
    bed.wait_step(job, 20)
    bed.cli("cancel", job)
    bed.wait(job, "CANCELLED")
    older, newer = sorted(p.name for p in (bed.folder(job) / "checkpoints").glob("step-*.safetensors"))
    bed.cli("retry", job, "--from", older)
    got = bed.wait(job, "RUNNING")
    back = checkpoint_state(bed.folder(job) / "checkpoints" / "set-aside" / newer)
    assert got["attempts"][1]["resumed_step"] < back["total_step"], (got["attempts"], back["total_step"])
    assert newer + " is set aside" in bed.job_log(job)
    got = bed.wait(job, "COMPLETED")
    assert [a["reason"] for a in got["attempts"]] == ["cancelled", ""], got["attempts"]
    check_events(bed, job)
    assert exports(bed, job) == whole
    bed.cli("rm", job)
    bed.cli("show", job, expect=3)
    assert not bed.folder(job).exists()
finally:
    bed.close()
print("paused, resumed, retried: bit-identical")
