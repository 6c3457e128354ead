"""Positive evidence only: no contact, a daemon that was away, a record that points at somebody else, orphans.

In each case: no healthy job is ended, none runs twice at a time, none is lost, none stays a ghost, and no older attempt overwrites
what a newer one has written.
"""
import json
import os
import signal
import subprocess
import time

from harness import Bed, check_events, checkpoint_state, exports, send, stat_fields, undisturbed, until


LONG = [("phases.finetune.steps", 300)]


def states(bed, job):
    return [e["state"]["to"] for e in bed.events(job) if "state" in e]


def finished(bed, job, attempts, whole):
    got = bed.wait(job, "COMPLETED")
    assert got["attempt"] == attempts, got["attempts"]
    check_events(bed, job)
    assert exports(bed, job) == whole, "weights differ"
    bed.gone()
    return got


def cut_link(bed, whole):
    """The daemon is back, but not where the worker looks for it: minutes without a report prove nothing."""
    job = bed.submit(overrides=[*LONG, ("stall_minutes", 0.2), ("stall_factor", 4)])
    bed.wait_step(job, 4)
    bed.restart(socket="s2")
    seen = len(bed.events(job))
    until(lambda: (bed.folder(job) / "result.json").exists(), "the end of the ranks")
    got = finished(bed, job, 1, whole)
    assert "STALLED" not in states(bed, job) and "UNREACHABLE" not in states(bed, job), states(bed, job)
    steps = [e["progress"]["total_step"] for e in bed.events(job) if "progress" in e]
    assert len(bed.events(job)) > seen and steps == sorted(set(steps)), "what was spooled came once"
    assert got["progress"]["total_step"] == 370
    bed.restart(socket="s")


def daemon_away(bed, whole):
    """Killed again and again, and once away until the job was over."""
    job = bed.submit()
    for step in (2, 10, 30):
        bed.wait_step(job, step)
        bed.restart()
    bed.end()
    until(lambda: not bed.processes(), "the ranks to end by themselves")
    bed.start()
    finished(bed, job, 1, whole)


def rewrite(path, **changes):
    record = json.loads(path.read_text())
    record.update(changes)
    path.write_text(json.dumps(record))


def kill_all(bed, job, step):
    bed.wait_step(job, step)
    bed.end()
    for pid in bed.processes():
        send(pid, signal.SIGKILL)
    bed.gone()


def stale_pid(bed, whole):
    """The launcher's number was given to a process that has nothing to do with it."""
    job = bed.submit()
    kill_all(bed, job, 6)
    stranger = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    rewrite(bed.launcher_record(job, 1), pid=stranger.pid, start_time=stat_fields(stranger.pid)[3] - 1)
    bed.start()
    got = finished(bed, job, 2, whole)
    assert got["attempts"][0]["reason"] == "vanished", got["attempts"]
    assert stranger.poll() is None, "a stranger was killed"
    stranger.kill()
    stranger.wait()


def host_restarted(bed, whole):
    job = bed.submit()
    kill_all(bed, job, 6)
    rewrite(bed.launcher_record(job, 1), boot_id="00000000-0000-0000-0000-000000000000")
    bed.start()
    got = finished(bed, job, 2, whole)
    assert got["attempts"][0]["reason"] == "host_restarted", got["attempts"]
    assert got["attempts"][1]["resumed_step"] > 0


def orphans(bed, whole):
    """The launcher is killed, its ranks go on: they are still the attempt, and its only one."""
    job = bed.submit()
    bed.wait_step(job, 6)
    for pid in bed.processes("launcher"):
        send(pid, signal.SIGKILL)
    time.sleep(1)
    assert bed.show(job)["state"] == "RUNNING"
    bed.restart()
    most = 0
    while bed.show(job)["attempt"] == 1 and bed.show(job)["state"] != "COMPLETED":
        most = max(most, len(bed.processes("rank")))
        time.sleep(0.05)
    assert most == 2, "%d ranks at a time" % most
    got = bed.wait(job, "COMPLETED")
    # Nobody saw the exit code: the end record alone does not complete a job, so the next attempt looks and finds all done.
    assert [a["reason"] for a in got["attempts"]] == ["vanished", ""], got["attempts"]
    check_events(bed, job)
    assert exports(bed, job) == whole
    bed.gone()


def woken_orphan(bed, whole):
    """All of an attempt sleeps, its node is believed to be gone, a new attempt runs; then the old one wakes up."""
    job = bed.submit(overrides=LONG)
    bed.wait_step(job, 10)
    bed.end()
    old = bed.processes()
    ranks = [p for p, kind in old.items() if kind == "rank"]
    for pid in old:
        send(pid, signal.SIGSTOP)
    rewrite(bed.launcher_record(job, 1), boot_id="00000000-0000-0000-0000-000000000000")
    bed.start()
    until(lambda: bed.show(job)["attempt"] == 2, "the second attempt")
    bed.wait_step(job, 30)
    fence = (bed.folder(job) / "checkpoints" / "fence").read_text()
    assert fence == "2\n", fence
    for pid in old:
        send(pid, signal.SIGCONT)
    until(lambda: not any(stat_fields(p) and stat_fields(p)[0] not in "ZX" for p in ranks), "the orphans to end")
    for path in sorted((bed.folder(job) / "checkpoints").glob("step-*.safetensors")):
        try:
            state = checkpoint_state(path)
        except FileNotFoundError:
            continue  # collected meanwhile
        assert state["attempt"] == 2 or state["total_step"] <= 10 + 8, (path.name, state["attempt"], state["total_step"])
    got = bed.wait(job, "COMPLETED")
    assert got["attempt"] == 2 and got["attempts"][0]["reason"] == "host_restarted", got["attempts"]
    check_events(bed, job)
    log = (bed.folder(job) / "log.txt").read_text(errors="replace")
    assert "superseded by attempt 2" in log, log[-3000:]
    result = json.loads((bed.folder(job) / "result.json").read_text())
    assert result["job"]["attempt"] == 2, result["job"]
    bed.gone()
    assert exports(bed, job) == whole


bed = Bed().start()
try:
    whole = undisturbed(bed.case)
    long = undisturbed(bed.case, "long", overrides=LONG)
    for test in (cut_link, daemon_away, stale_pid, host_restarted, orphans, woken_orphan):
        began = time.monotonic()
        test(bed, long if test in (cut_link, woken_orphan) else whole)
        print("%-14s %4.1f s" % (test.__name__, time.monotonic() - began), flush=True)
finally:
    bed.close()
