"""A daemon whose store holds 100,000 jobs and whose events 200 clients watch: Get, List, Submit, restart, memory."""
import contextlib
import os
import random
import shutil
import sqlite3
import subprocess
import tempfile
import time
import uuid

import machine
from rows import median, row, span
from wire_rows import JOB, espalierd, program, server

JOBS, WATCHERS, OUTSTANDING, SECONDS, SUBMITS = 100_000, 200, 8, 4, 200
COMPLETED, FAILED, CANCELLED = 6, 8, 7


def fill(path):
    """Jobs as a year of use leaves them: over, with attempts, changes of state, progress, artifacts, a structure."""
    store = sqlite3.connect(path)
    store.execute("PRAGMA synchronous = OFF")
    columns = {t: [c[1] for c in store.execute("PRAGMA table_info(%s)" % t)] for t in ("jobs", "attempts", "events")}
    draw = random.Random(1)
    start = 1_700_000_000_000

    def insert(table, names, rows):
        names = names.split()
        assert set(names) <= set(columns.get(table, names)), table
        store.executemany("INSERT INTO %s (%s) VALUES (%s)" % (table, ", ".join(names), ", ".join("?" * len(names))), rows)

    states = [draw.choice((COMPLETED, COMPLETED, COMPLETED, FAILED, CANCELLED)) for _ in range(JOBS)]
    ids = range(1, JOBS + 1)
    insert("jobs", "id request_id digest name owner state over reason text priority ranks threads gpus_per_rank cores gpus "
           "memory_bytes time_limit_ms submitted_ms started_ms ended_ms changed_ms exit_code attempt",
           ((i, "fill-%d-%s" % (i, uuid.UUID(int=i)), "d" * 64, "job number %d" % i, "somebody", states[i - 1], 1, "", "", 50, 2,
             1, 0, 2, 0, 1 << 28, 0, start + i, start + i, start + i, start + i, 0, 1) for i in ids))
    insert("submissions", "job_id job_file file_name folder overrides",
           ((i, JOB.encode(), "job.yaml", "/home/somebody", "[ ]") for i in ids))
    insert("attempts", "job_id attempt token started_ms ended_ms exit_code signal reason reported done done_success done_reason "
           "done_text", ((i, 1, "t" * 64, start, start, 0, 0, "", 9, 1, 1, "", "") for i in ids))
    progress = bytes.fromhex("0a0466696e6510641864206428643100000000000000803f")
    for n, (a, b) in enumerate(((0, 1), (1, 2), (2, 3), (3, 4))):
        insert("events", "job_id time_ms kind attempt from_state to_state actor reason text",
               ((i, start + n, 4, min(n, 1), a, b, "daemon", "", "") for i in ids))
    insert("events", "job_id time_ms kind series attempt body", ((i, start + 5, 5, "", 1, progress) for i in ids))
    insert("events", "job_id time_ms kind attempt from_state to_state actor reason text",
           ((i, start + 9, 4, 1, 4, states[i - 1], "launcher", "", "") for i in ids))
    insert("artifacts", "job_id name size_bytes sha256",
           ((i, "export/%s.safetensors" % n, 1000, "0" * 64) for i in ids for n in ("shared", "expanded")))
    insert("phase_times", "job_id phase ordinal seconds", ((i, "finetune", 0, 1.5) for i in ids))
    store.commit()
    store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()


@contextlib.contextmanager
def watchers(o, address):
    process = subprocess.Popen([os.path.join(o.programs, "bench_wire"), "watch", address, str(WATCHERS)],
                               env=machine.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout.readline() != "watching\n":
            raise machine.Refused("the watchers did not come up")
        yield
    finally:
        process.stdin.close()
        seen = process.stdout.read()
        process.wait()
        machine.note("         %d watchers saw %s" % (WATCHERS, seen.strip()))


def resident_mib(pid):
    with open("/proc/%d/status" % pid) as f:
        return {line.split(":")[0]: int(line.split()[1]) / 1024 for line in f if line.startswith(("VmHWM", "VmRSS"))}["VmHWM"]


def start_seconds(o, tmp):
    """From the start of the program to the line that says clients are served."""
    begun = time.monotonic()
    with espalierd(o, tmp, "--launcher", "fake", "--cores", "1"):
        return time.monotonic() - begun


def commits(o, tmp, job):
    """SQLite alone, into a copy of the store as it was filled."""
    copy = os.path.join(tmp, "peer.db")
    shutil.copyfile(os.path.join(tmp, "filled.db"), copy)
    return program(o, "bench_commit", copy, job, OUTSTANDING, 1)


def measure(o, tmp, kinds):
    """{kind: repetitions} of bench_wire and bench_submit, their peers beside, and the daemon's largest resident size."""
    address, echo = "unix:" + os.path.join(tmp, "d"), "unix:" + os.path.join(tmp, "e")
    got = {kind: [] for kind in (*kinds, "echo", "submit", "commit")}
    with espalierd(o, tmp, "--launcher", "fake", "--cores", "1") as daemon, \
            server([os.path.join(o.programs, "bench_echo"), "serve", echo], os.path.join(tmp, "echo.log")):
        job = os.path.join(tmp, "job.yaml")
        with open(job, "w") as f:
            f.write(JOB)
        # One job that runs on and reports: there is something to watch.
        program(o, "bench_submit", address, 1, 1, job)
        with watchers(o, address):
            for _ in range(o.repeat):
                for kind in kinds:
                    more = (JOBS,) if kind == "get" else ()
                    got[kind].append(program(o, "bench_wire", kind, address, OUTSTANDING, SECONDS, *more))
                got["echo"].append(program(o, "bench_echo", "call", echo, OUTSTANDING, 2))
                got["submit"].append(program(o, "bench_submit", address, OUTSTANDING, SUBMITS, job))
                got["commit"].append(commits(o, tmp, job))
            return got, resident_mib(daemon.pid)


def store_100k(o):
    """100,000 jobs in the store, 200 watchers: Get and pages of List a second, restart, memory of the daemon."""
    with tempfile.TemporaryDirectory(prefix="espalier-b-") as tmp:
        start_seconds(o, tmp)  # makes the store
        fill(os.path.join(tmp, "home", "espalier.db"))
        shutil.copyfile(os.path.join(tmp, "home", "espalier.db"), os.path.join(tmp, "filled.db"))
        restarts = [start_seconds(o, tmp) for _ in range(o.repeat)]
        got, memory = measure(o, tmp, ("get", "list"))

    def of(kind, key):
        return [r[key] for r in got[kind]]
    echo = median(of("echo", "per_second"))
    detail = dict(jobs=JOBS, watchers=WATCHERS, outstanding=OUTSTANDING, echo_per_second=echo)
    machine.note("         gRPC core alone, an echo, %d outstanding: %.0f calls/s" % (OUTSTANDING, echo))
    return [row("get_100k", median(of("get", "per_second")), "calls/s", "higher", 5000, "the floor that was set",
                span(of("get", "per_second")), **detail),
            row("get_100k_p99", median(of("get", "p99_us")) / 1e3, "ms", "lower", 20, "the limit that was set"),
            row("list_100k", median(of("list", "per_second")), "pages/s", "higher", 500, "the floor that was set; pages of 50",
                span(of("list", "per_second")), **detail),
            row("list_100k_p99", median(of("list", "p99_us")) / 1e3, "ms", "lower", 20, "the limit that was set"),
            row("submit_100k", median(of("submit", "per_second")), "jobs/s", "higher", median(of("commit", "per_second")),
                "SQLite alone, the same rows, 8 jobs a commit, as many jobs there", span(of("submit", "per_second")), **detail),
            row("restart_100k", median(restarts), "s", "lower", 3, "the limit that was set", span(restarts)),
            row("memory_100k", memory, "MiB", "lower", 300, "the limit that was set; largest resident size")]
