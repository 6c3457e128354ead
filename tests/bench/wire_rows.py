"""Calls to a running espalierd, against gRPC core and SQLite alone."""
import contextlib
import glob
import json
import os
import subprocess
import tempfile
import time
import urllib.request

import machine
from rows import median, row, span

SCHEMA = sorted(glob.glob(os.path.join(machine.ROOT, "daemon", "store", "schema", "*.sql")))
JOB = """\
name: 'steps=1000000 step_ms=1000'
data:
  pretrain: /etc/hostname
  vocabulary: /etc/hostname
phases:
  pretrain:
    steps: 1000
resources:
  ranks: 1
"""


@contextlib.contextmanager
def server(argv, log):
    """A server that prints a line when it listens; ended by SIGTERM."""
    with open(log, "w") as errors:
        process = subprocess.Popen(argv, env=machine.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=errors, text=True)
    try:
        if not process.stdout.readline().startswith("listening"):
            with open(log) as f:
                raise machine.Refused("%s did not start: %s" % (argv[0], f.read()[-500:]))
        yield process
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def espalierd(o, tmp, *options):
    return server([os.path.join(o.bin, "espalierd"), "--home", os.path.join(tmp, "home"), "--listen",
                   "unix:" + os.path.join(tmp, "d"), *options], os.path.join(tmp, "daemon.log"))


def program(o, name, *args):
    return json.loads(machine.output([os.path.join(o.programs, name), *map(str, args)]))


def echo_rows(suffix, outstanding, ours, peer):
    peer_is = "gRPC core alone, C, an echo"

    def of(runs, key):
        return [r[key] for r in runs]
    rows = [row("rpc_echo" + suffix, median(of(ours, "per_second")), "calls/s", "higher", median(of(peer, "per_second")),
                peer_is, span(of(ours, "per_second")), outstanding=outstanding)]
    return rows + [row("rpc_echo%s_%s" % (suffix, p), median(of(ours, p + "_us")), "us", "lower", median(of(peer, p + "_us")),
                       peer_is, span(of(ours, p + "_us")), outstanding=outstanding) for p in ("p50", "p99")]


def rpc_echo(o):
    """Ping through our client library, 1 and 8 outstanding, over a Unix socket."""
    seconds, rows = 2, []
    with tempfile.TemporaryDirectory(prefix="espalier-b-") as tmp:
        echo = "unix:" + os.path.join(tmp, "e")
        with espalierd(o, tmp, "--launcher", "fake"), \
                server([os.path.join(o.programs, "bench_echo"), "serve", echo], os.path.join(tmp, "echo.log")):
            for suffix, outstanding in (("", 1), ("_8", 8)):
                ours, peer = [], []
                for _ in range(o.repeat):
                    ours.append(program(o, "bench_wire", "ping", "unix:" + os.path.join(tmp, "d"), outstanding, seconds))
                    peer.append(program(o, "bench_echo", "call", echo, outstanding, seconds))
                rows += echo_rows(suffix, outstanding, ours, peer)
    return rows


WARM = 20  # LOAD_WARM of load.h
SUBMITTERS, SUBMITS = (8, 64), 8000  # of all clients in a repetition; the daemon's limit is 10,000 jobs waiting
METRICS = "metrics on http://"


def commits(tmp):
    """Groups that the daemon has made durable so far; its page is at most half a second old."""
    with open(os.path.join(tmp, "daemon.log")) as f:
        address = f.read().split(METRICS)[1].split()[0]
    time.sleep(0.6)
    with urllib.request.urlopen("http://" + address) as page:
        for text in page.read().decode().splitlines():
            if text.startswith("espalier_commit_seconds_count "):
                return int(text.split()[1])
    raise machine.Refused("the daemon's page of metrics has no count of commits")


def submit_once(o, clients):
    """A daemon with an empty store: jobs stay queued behind one that runs. Then gRPC alone, and SQLite alone in the same
    folder, with as many jobs a commit as came together."""
    with tempfile.TemporaryDirectory(prefix="espalier-b-") as tmp:
        job, echo = os.path.join(tmp, "job.yaml"), "unix:" + os.path.join(tmp, "e")
        with open(job, "w") as f:
            f.write(JOB)
        with espalierd(o, tmp, "--launcher", "fake", "--cores", "1", "--metrics-listen", "127.0.0.1:0"), \
                server([os.path.join(o.programs, "bench_echo"), "serve", echo], os.path.join(tmp, "echo.log")):
            before = commits(tmp)
            ours = program(o, "bench_submit", "unix:" + os.path.join(tmp, "d"), clients, SUBMITS // clients, job)
            ours["jobs_a_commit"] = (SUBMITS + clients * WARM) / (commits(tmp) - before)
            peer = program(o, "bench_commit", os.path.join(tmp, "peer.db"), job, max(1, round(ours["jobs_a_commit"])), 1, *SCHEMA)
            return ours, peer, program(o, "bench_echo", "call", echo, clients, 1)


def submit_rows(o, suffix, clients):
    ours, peer, echo = zip(*(submit_once(o, clients) for _ in range(o.repeat)))

    def of(runs, key):
        return median([r[key] for r in runs])
    group, alone, calls = of(ours, "jobs_a_commit"), of(peer, "per_second"), of(echo, "per_second")
    machine.note("         %d clients, %.1f jobs a commit; gRPC core alone, an echo: %.0f calls/s; that and SQLite one after the "
                 "other: %.0f/s" % (clients, group, calls, 1 / (1 / calls + 1 / alone)))
    rows = [row("submit_durable" + suffix, of(ours, "per_second"), "jobs/s", "higher", alone,
                "SQLite alone, the same rows, as many a commit", span([r["per_second"] for r in ours]), clients=clients,
                jobs_a_commit=group, echo_per_second=calls, peer_commits_per_second=of(peer, "commits_per_second"))]
    return rows + [row("submit_durable%s_%s" % (suffix, p), of(ours, p + "_us") / 1e3, "ms", "lower", clients=clients)
                   for p in ("p50", "p99")]


def submit_durable(o):
    """Durable Submits a second of 8 and of 64 clients, each of another job file."""
    return [r for n in SUBMITTERS for r in submit_rows(o, "" if n == SUBMITTERS[0] else "_%d" % n, n)]
