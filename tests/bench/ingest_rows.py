"""Points from 64 simulated ranks into a running espalierd, against SQLite alone."""
import glob
import os
import sqlite3
import tempfile
import time

import machine
from rows import median, row, span
from wire_rows import espalierd, program

RANKS, RATE, SECONDS = 64, 20000, 5
JOB = """\
name: 'report=0 steps=1 step_ms=3600000'
data:
  pretrain: /etc/hostname
  vocabulary: /etc/hostname
phases.pretrain.steps: 1000
"""


def start_jobs(o, tmp):
    """64 attempts that wait for reports; their ids."""
    path = os.path.join(tmp, "job.yaml")
    with open(path, "w") as f:
        f.write(JOB)
    client = [os.path.join(o.bin, "espalier"), "--server", "unix:" + os.path.join(tmp, "d")]
    jobs = [machine.output([*client, "submit", path]).strip() for _ in range(RANKS)]
    for job in jobs:
        deadline = time.monotonic() + 30
        while not os.path.exists(os.path.join(tmp, "home", "jobs", job, "attempt.json")):
            if time.monotonic() > deadline:
                raise machine.Refused("job %s was not started" % job)
            time.sleep(0.01)
    return jobs


def stored(tmp):
    with sqlite3.connect(os.path.join(tmp, "home", "espalier.db")) as db:
        return db.execute("select count(*) from events where kind = 6").fetchone()[0]


def once(o, rate):
    """A fresh daemon each time: series stay below the length at which they are thinned, so every point must be there."""
    with tempfile.TemporaryDirectory(prefix="espalier-b-") as tmp:
        with espalierd(o, tmp, "--launcher", "fake", "--cores", str(RANKS), "--memory", "1000000"):
            jobs = start_jobs(o, tmp)
            r = program(o, "bench_ingest", os.path.join(tmp, "home", "jobs"), SECONDS, rate, *jobs)
            there = stored(tmp)
    if there != r["points"]:
        raise machine.Refused("%d points were acknowledged and %d are stored" % (r["points"], there))
    return r


def ingest(o):
    """Metric points a second from 64 simulated ranks, none lost: as many as are taken, and at 20,000/s offered."""
    offered, most, peer = [], [], []
    schema = sorted(glob.glob(os.path.join(machine.ROOT, "daemon", "store", "schema", "*.sql")))
    for _ in range(o.repeat):
        offered.append(once(o, RATE))
        most.append(once(o, 0))
        with tempfile.TemporaryDirectory(prefix="espalier-b-") as tmp:
            peer.append(program(o, "bench_insert", os.path.join(tmp, "peer.db"), 1000, 3, *schema)["per_second"])
    taken = [r["points"] / r["seconds"] for r in most]
    # Offered to the last point, and how far behind its acknowledgement was: a daemon that keeps up is never far behind.
    kept_up = [r["points"] / r["offered_seconds"] for r in offered]
    lag = [1e3 * (r["seconds"] - r["offered_seconds"]) for r in offered]
    return [row("ingest", median(taken), "points/s", "higher", median(peer), "SQLite alone, the same rows, 1000 a commit",
                span(taken), ranks=RANKS),
            row("ingest_offered", median(kept_up), "points/s", "higher", spread=span(kept_up), offered=RATE, ranks=RANKS),
            row("ingest_offered_lag", median(lag), "ms", "lower", spread=span(lag), offered=RATE, ranks=RANKS)]
