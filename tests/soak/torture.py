"""SIGKILL and SIGSTOP/SIGCONT of daemon, launcher, mpirun, one rank, all ranks, at random moments of real jobs.
With --slurm the jobs run in a real Slurm of two nodes, and slurmctld, slurmd and slurmstepd are among the victims.

After N harms: every job is COMPLETED, its exports are bit-identical to those of an undisturbed run, every event that was ever
acknowledged (shown by the daemon after its commit) is still there and unchanged, no attempt ran beside another, no job was doubled.

Usage:  torture.py ESPALIER_WORKER MPIRUN ESPALIERD ESPALIER [--harms N] [--seed S] [--jobs J] [--slurm]
The same seed gives the same harms at the same delays; what they hit depends on the machine's speed.
"""
import argparse
import collections
import json
import random
import signal
import subprocess
import sys
import threading
import time

import harness
from harness import Bed, check_events, exports, send, stat_fields, undisturbed
from slurm_bed import PARTS, SlurmBed, cluster

HOW = ("kill", "kill", "stop")  # kills are worse, and two of three

parser = argparse.ArgumentParser()
parser.add_argument("--harms", type=int, default=20)
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--jobs", type=int, default=2)
parser.add_argument("--slurm", action="store_true")
options = parser.parse_args(sys.argv[5:])
rng = random.Random(options.seed)
victims = ("daemon", "launcher", "mpirun", "rank", "ranks") + (PARTS if options.slurm else ())


class Witness:
    """Reads each job's events again and again; what it has seen once must stay as it was."""

    def __init__(self, bed):
        self.bed, self.seen = bed, {}

    def look(self, job):
        done = subprocess.run([harness.ESPALIER, "events", job, "--json"], env=self.bed.env, capture_output=True, text=True,
                              timeout=60)
        if done.returncode != 0:
            return  # the daemon is away or stopped
        now = {e["cursor"]: e for e in map(json.loads, done.stdout.splitlines())}
        for cursor, event in self.seen.get(job, {}).items():
            assert now.get(cursor) == event, "job %s: event %d was %s and is %s" % (job, cursor, event, now.get(cursor))
        self.seen[job] = now


def attempt_of(rank):
    """(folder of its job, what is one an attempt: the session, or the job in Slurm); None: it is gone."""
    try:
        with open("/proc/%d/cmdline" % rank, "rb") as f:
            folder = f.read().split(b"\0")[3]
        with open("/proc/%d/environ" % rank, "rb") as f:
            slurm = [v for v in f.read().split(b"\0") if v.startswith(b"SLURM_JOB_ID=")]
        return folder, slurm[0] if slurm else stat_fields(rank)[2]
    except (OSError, IndexError, TypeError):
        return None


class Watchman(threading.Thread):
    """Of one job, ranks of two attempts at a time would be a job that runs twice."""

    def __init__(self, bed):
        super().__init__(daemon=True)
        self.bed, self.over, self.fault = bed, False, None

    def run(self):
        while not self.over:
            by_job = collections.Counter()
            for pid in self.bed.processes("rank"):
                got = attempt_of(pid)
                s = stat_fields(pid)
                if got and s and s[0] not in "ZX":
                    by_job[got] += 1
            jobs = collections.Counter(folder for folder, _ in by_job)
            if any(n > 1 for n in jobs.values()):
                self.fault = self.fault or "ranks of two attempts at a time: %s" % by_job
            time.sleep(0.2)


def targets(bed, victim):
    if victim == "daemon":
        return [bed.daemon.pid]
    found = sorted(bed.processes("rank" if victim in ("rank", "ranks") else victim))
    if victim == "ranks":
        return found
    return [rng.choice(found)] if found else []


def harm_part(bed, part, how):
    """slurmctld and slurmd come back in less time than Slurm takes to call a node lost."""
    pid, name = part
    if how == "stop":
        send(pid, signal.SIGSTOP)
        time.sleep(rng.uniform(0.05, 3))
        send(pid, signal.SIGCONT)
    else:
        send(pid, signal.SIGKILL)
        while cluster.is_alive(pid):
            time.sleep(0.01)
        time.sleep(rng.choice([0, 0.5, 3]))
        bed.revive(name)
    return True


def harm(bed, victim, how):
    """True if it hit something."""
    if victim in PARTS:
        part = bed.find_part(victim, rng)
        return bool(part) and harm_part(bed, part, how)
    pids = targets(bed, victim)
    if not pids:
        return False
    for pid in pids:
        send(pid, signal.SIGKILL if how == "kill" else signal.SIGSTOP)
    if how == "stop":
        time.sleep(rng.uniform(0.05, 0.6))
        for pid in pids:
            send(pid, signal.SIGCONT)
    elif victim == "daemon":
        bed.daemon.wait(60)
        bed.daemon.stdout.close()
        time.sleep(rng.choice([0, 0.2, 1]))
        bed.start()
    return True


def keep_busy(bed, jobs, live):
    """Some jobs are always under way: the harms never run out of victims."""
    live[:] = [j for j in live if bed.show(j)["state"] != "COMPLETED"]
    while len(live) < options.jobs:
        live.append(bed.submit())
        jobs.append(live[-1])


def torture(bed):
    jobs, live, done, witness = [], [], collections.Counter(), Witness(bed)
    watchman = Watchman(bed)
    watchman.start()
    while sum(done.values()) < options.harms:
        keep_busy(bed, jobs, live)
        victim, how = rng.choice(victims), rng.choice(HOW)
        time.sleep(rng.uniform(0.05, 1.2))
        if harm(bed, victim, how):
            done[victim, how] += 1
        if options.slurm:
            bed.operate(live)
        witness.look(rng.choice(live))
    for job in jobs:
        if options.slurm:
            bed.wait(job, "COMPLETED", "FAILED", "TIMEOUT", mend=lambda job=job: bed.operate([job]))
        else:
            bed.wait(job, "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT")
        witness.look(job)
    watchman.over = True
    watchman.join()
    assert not watchman.fault, watchman.fault
    return jobs, done


def judge(bed, jobs, whole):
    attempts = 0
    for job in jobs:
        got = bed.show(job)
        assert check_events(bed, job) == "COMPLETED", (got["state"], got["text"], bed.job_log(job))
        assert exports(bed, job) == whole, "job %s: weights differ from the undisturbed run's" % job
        attempts += got["attempt"]
    listed = [j["id"] for j in bed.cli_json("jobs", "--json", "--limit", "10000")]
    assert sorted(listed) == sorted(jobs), "jobs %s were submitted, %s are there" % (jobs, listed)
    bed.gone()
    return attempts


began = time.monotonic()
reason = cluster.why_not() if options.slurm else None
if reason:
    print("SKIPPED: no torture with a real Slurm: " + reason)
    sys.exit(77)
bed = (SlurmBed if options.slurm else Bed)("--stop-term", "1", "--stop-kill", "3").start()
try:
    whole = undisturbed(bed.case)
    jobs, done = torture(bed)
    attempts = judge(bed, jobs, whole)
    print("seed %d: %d harms (%s), %d jobs in %d attempts, %.0f s: no event lost, none doubled, weights bit-identical" % (
        options.seed, sum(done.values()), ", ".join("%s %s %d" % (how, victim, n) for (victim, how), n in sorted(done.items())),
        len(jobs), attempts, time.monotonic() - began))
    if options.slurm:
        print("the cluster's operator: %s" % (dict(bed.operated) or "nothing to do"))
except BaseException:
    print("seed %d failed; %s" % (options.seed, bed.said()[-3000:]))
    raise
finally:
    bed.close()
