"""A real daemon, real launchers, real mpirun, real ranks of a tiny job, driven through the client.

Usage of the tests:  PYTHON TEST.py ESPALIER_WORKER MPIRUN ESPALIERD ESPALIER [options]
"""
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "run"))
import job as tiny  # noqa: E402  the same job as tests/run, and its data

WORKER, MPIRUN, ESPALIERD, ESPALIER = sys.argv[1:5]
PATIENCE = 240


def until(condition, what, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > deadline:
            raise AssertionError("waited %d s in vain: %s" % (seconds, what() if callable(what) else what))
        time.sleep(0.02)


def stat_fields(pid):
    """(state, parent, session, start time) of /proc/PID/stat; None when it is gone."""
    try:
        fields = pathlib.Path("/proc/%d/stat" % pid).read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[0], int(fields[1]), int(fields[3]), int(fields[19])


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


class Bed:
    """One home. The daemon may be killed and started as often as one likes."""

    def __init__(self, *options, case=None):
        self.case = case or tiny.Case()
        self.own_case = case is None
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="espalier-s-"))  # mode 0700
        self.home = self.dir / "home"
        self.socket = self.dir / "s"
        self.options = ["--cores", "8", "--memory", "1000000", "--retry-wait", "0", "--retries", "1000", *options]
        self.env = dict(tiny.ENV, ESPALIER_SERVER="unix:%s" % self.socket)
        self.daemon = None
        self.log = open(self.dir / "daemon.log", "ab")

    # ---- the daemon

    def start(self, socket=None):
        if socket:
            self.socket = self.dir / socket
            self.env["ESPALIER_SERVER"] = "unix:%s" % self.socket
        self.daemon = subprocess.Popen([ESPALIERD, "--home", self.home, "--listen", "unix:%s" % self.socket,
                                        "--worker", WORKER, "--mpirun", MPIRUN, *self.options],
                                       stdout=subprocess.PIPE, stderr=self.log, env=self.env)
        line = self.daemon.stdout.readline()
        assert line.startswith(b"listening on"), self.said()
        return self

    def end(self, how=signal.SIGKILL):
        send(self.daemon.pid, signal.SIGCONT)
        self.daemon.send_signal(how)
        self.daemon.wait(60)
        self.daemon.stdout.close()

    def restart(self, how=signal.SIGKILL, socket=None):
        self.end(how)
        return self.start(socket)

    def said(self):
        return (self.dir / "daemon.log").read_text(errors="replace")[-8000:]

    def close(self):
        if self.daemon and self.daemon.poll() is None:
            for job in self.cli_json("jobs", "--json"):
                subprocess.run([ESPALIER, "cancel", job["id"]], env=self.env, capture_output=True)
            self.end(signal.SIGTERM)
        self.log.close()
        text = (self.dir / "daemon.log").read_text(errors="replace")
        assert "Sanitizer" not in text and "runtime error" not in text, text
        for pid in self.processes():
            send(pid, signal.SIGKILL)
        shutil.rmtree(self.dir, ignore_errors=True)
        if self.own_case:
            self.case.close()

    # ---- the client

    def cli(self, *args, expect=0):
        done = subprocess.run([ESPALIER, *args], env=self.env, capture_output=True, text=True, timeout=60)
        if expect is not None and done.returncode != expect:
            raise AssertionError("%s: exit %d\n%s%s\n%s" % (args, done.returncode, done.stdout, done.stderr, self.said()))
        return done.stdout

    def cli_json(self, *args):
        return json.loads(self.cli(*args))

    def submit(self, ranks=2, overrides=(), steps=None):
        path = self.dir / "job.yaml"
        path.write_text(tiny.YAML.format(data=self.case.data, ranks=ranks))
        sets = [x for k, v in overrides for x in ("--set", "%s=%s" % (k, v))]
        return self.cli("submit", str(path), *sets).strip()

    def show(self, job):
        return self.cli_json("show", job, "--json")

    def events(self, job):
        return [json.loads(line) for line in self.cli("events", job, "--json").splitlines()]

    def wait(self, job, *states, seconds=PATIENCE, mend=None):
        def there():
            if mend:
                mend()
            got = self.show(job)
            if got["state"] == "RUNNING" and not got["attempts"][-1]["host"]:
                return None  # a note came before the worker's hello, which tells where it went on from
            return got if got["state"] in states else None
        return until(there, lambda: "%s of %s\n%s\n%s" % (states, self.show(job), self.said(), self.job_log(job)), seconds)

    def wait_step(self, job, step, seconds=PATIENCE):
        def there():
            p = self.show(job)["progress"]
            return p and p["total_step"] >= step
        return until(there, lambda: "step %d of %s" % (step, self.show(job)), seconds)

    def folder(self, job):
        return self.home / "jobs" / job

    def job_log(self, job):
        path = self.folder(job) / "log.txt"
        return path.read_text(errors="replace")[-3000:] if path.exists() else ""

    # ---- processes of an attempt

    def processes(self, kind=None):
        """Living processes that belong to this home: {pid: kind}, kind launcher | mpirun | rank. By argv, so only ours."""
        found = {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                argv = pathlib.Path("/proc/%s/cmdline" % entry).read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            if not any(str(self.home).encode() in a for a in argv):
                continue
            name = os.path.basename(argv[0]).decode(errors="replace")
            what = ("launcher" if name == "espalier-launcher" else "rank" if name == "espalier-worker" else
                    "daemon" if name == "espalierd" else "mpirun" if b"run" in argv else None)
            s = stat_fields(int(entry))
            if what and what != "daemon" and s and s[0] not in "ZX" and kind in (None, what):
                found[int(entry)] = what
        return found

    @staticmethod
    def arguments(pid):
        try:
            return pathlib.Path("/proc/%d/cmdline" % pid).read_bytes().decode(errors="replace").split("\0")
        except (FileNotFoundError, ProcessLookupError):
            return []

    def rank_pid(self, job, attempt, rank):
        words = (self.folder(job) / "attempts" / str(attempt) / ("rank-%d" % rank)).read_text().split()
        return int(words[words.index("pid") + 1])

    def launcher_record(self, job, attempt):
        return self.folder(job) / "attempts" / str(attempt) / "launcher.json"

    def gone(self, seconds=30):
        until(lambda: not self.processes(), lambda: "processes to end: %s" % self.processes(), seconds)


def checkpoint_state(path):
    """The JSON of a checkpoint's metadata."""
    with open(path, "rb") as f:
        n, = struct.unpack("<Q", f.read(8))
        return json.loads(json.loads(f.read(n))["__metadata__"]["espalier.state"])


# ---- what must hold of every job, whatever was done to it

def check_events(bed, job):
    """Every change begins where the last one ended; cursors ascend; attempts ascend; an end is left by a retry alone."""
    over = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT")
    state, attempt, last = "UNSPECIFIED", 0, 0
    for e in bed.events(job):
        assert e["cursor"] > last, e
        last = e["cursor"]
        s = e.get("state")
        if not s:
            continue
        assert s["from"] == state and (state not in over or s["to"] == "REQUEUED"), (state, e)
        state = s["to"]
        assert s["attempt"] in (attempt, attempt + 1), e
        attempt = s["attempt"]
    assert state == bed.show(job)["state"], state
    return state


def exports(bed, job):
    return tiny.exports(bed.folder(job))


def undisturbed(case, name="undisturbed", **kw):
    """The same job without a coordinator and without any harm: its exports."""
    folder = case.job(name, **kw)
    tiny.run(folder)
    return tiny.exports(folder)
