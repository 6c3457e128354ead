"""A rank that makes no step is shown, by number and with its stack, and is left alone; unless the job file says restart."""
import os
import signal
import time

from harness import Bed, check_events, exports, send, stat_fields, undisturbed, until

bed = Bed().start()
try:
    whole = undisturbed(bed.case)
    quick = [("stall_minutes", 0.04), ("stall_factor", 4)]

    # One rank is stopped: the others wait for it. It is named, nothing is done to it, and the next step takes the job back.
    job = bed.submit(overrides=quick)
    bed.wait_step(job, 4)
    victim = bed.rank_pid(job, 1, 1)
    send(victim, signal.SIGSTOP)
    got = bed.wait(job, "STALLED")
    assert "Rank 1 of 2" in got["text"] and "keeps the others waiting" in got["text"], got["text"]
    assert "process %d is in state T (stopped)" % victim in got["text"], got["text"]
    assert got["reason"] == "stalled", got
    time.sleep(3)
    assert stat_fields(victim)[0] == "T" and bed.show(job)["state"] == "STALLED"
    bed.restart()  # a daemon that comes back knows nothing of the past and draws no conclusion from that
    time.sleep(1)
    assert bed.show(job)["state"] == "STALLED"
    send(victim, signal.SIGCONT)
    bed.wait(job, "RUNNING")
    got = bed.wait(job, "COMPLETED")
    assert got["attempt"] == 1, got
    check_events(bed, job)
    assert exports(bed, job) == whole

    # One that lives leaves its stack. SIGSTOP of mpirun's other child makes rank 0 wait inside the sum.
    job = bed.submit(overrides=quick)
    bed.wait_step(job, 4)
    os.kill(bed.rank_pid(job, 1, 0), signal.SIGUSR2)
    stack = bed.folder(job) / "attempts" / "1" / "stack-0.txt"
    until(stack.exists, "a stack")
    assert "run_recipe" in stack.read_text(), stack.read_text()
    assert exports(bed, job) == whole if bed.wait(job, "COMPLETED")["attempt"] == 1 else False

    # on_stall: restart. The attempt is ended by the ladder, the next one goes on from the checkpoint.
    bed.options += ["--stop-term", "0", "--stop-kill", "1"]
    bed.restart()
    job = bed.submit(overrides=[*quick, ("on_stall", "restart")])
    bed.wait_step(job, 6)
    send(bed.rank_pid(job, 1, 1), signal.SIGSTOP)
    got = bed.wait(job, "COMPLETED")
    assert [a["reason"] for a in got["attempts"]] == ["stalled", ""], got["attempts"]
    assert "STALLED" in [e["state"]["to"] for e in bed.events(job) if "state" in e]
    assert got["attempts"][1]["resumed_step"] > 0
    check_events(bed, job)
    assert exports(bed, job) == whole
finally:
    bed.close()
print("stalled ranks were named; nothing was lost")
