"""Calls to a running espalierd, against gRPC core and SQLite alone."""
import contextlib
import glob
import json
import os
import subprocess
import tempfile

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


CLIENTS, CALLS = 8, 1000  # of each client in a repetition; the daemon's limit is 10,000 jobs waiting


def submit_once(o, tmp):
    """A daemon with an empty store: jobs stay queued behind one that runs. Then SQLite alone, in the same folder."""
    job = os.path.join(tmp, "job.yaml")
    with open(job, "w") as f:
        f.write(JOB)
    with espalierd(o, tmp, "--launcher", "fake", "--cores", "1"):
        ours = program(o, "bench_submit", "unix:" + os.path.join(tmp, "d"), CLIENTS, CALLS, job)
        return ours, program(o, "bench_commit", os.path.join(tmp, "peer.db"), job, CLIENTS, 1, *SCHEMA)


def submit_durable(o):
    """Durable Submits a second of 8 concurrent clients, each of another job file."""
    ours, peer = [], []
    for _ in range(o.repeat):
        with tempfile.TemporaryDirectory(prefix="espalier-b-") as tmp:
            for runs, run in zip((ours, peer), submit_once(o, tmp)):
                runs.append(run)
    rate = [r["per_second"] for r in ours]
    rows = [row("submit_durable", median(rate), "jobs/s", "higher", median([r["per_second"] for r in peer]),
                "SQLite alone, the same rows, 8 jobs a commit", span(rate), clients=CLIENTS,
                peer_commits_per_second=median([r["commits_per_second"] for r in peer]))]
    return rows + [row("submit_durable_" + p, median([r[p + "_us"] for r in ours]) / 1e3, "ms", "lower", clients=CLIENTS)
                   for p in ("p50", "p99")]
