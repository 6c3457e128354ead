"""What an administrator relies on: notification of systemd, configuration, metrics, webhook, backup."""
import hashlib
import hmac
import http.server
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time
import unittest
import urllib.error
import urllib.request

from bed import ESPALIERD, PATIENCE, Case, Daemon, J, R, grpc, main


class Notify(unittest.TestCase):
    def heard(self, name, bind):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listener.settimeout(PATIENCE)
        d = Daemon()
        listener.bind(bind(d))
        os.environ["NOTIFY_SOCKET"] = name(d)
        try:
            d.start()
        finally:
            del os.environ["NOTIFY_SOCKET"]
        self.assertEqual(listener.recv(100), b"READY=1")
        self.assertEqual(d.client.call("Ping").cores, 2)  # READY: clients are served
        d.process.send_signal(signal.SIGTERM)
        self.assertEqual(listener.recv(100), b"STOPPING=1")
        d.process.wait(PATIENCE)
        listener.close()
        d.process.stdout.close()
        d.log.close()
        d.process = None
        d.remove()

    def test_path(self):
        self.heard(lambda d: os.path.join(d.dir, "notify"), lambda d: os.path.join(d.dir, "notify"))

    def test_abstract(self):
        self.heard(lambda d: "@espalier-test-%d" % os.getpid(), lambda d: "\0espalier-test-%d" % os.getpid())


class Configuration(unittest.TestCase):
    def setUp(self):
        self.d = Daemon()
        self.file = os.path.join(self.d.dir, "espalierd.yaml")

    def tearDown(self):
        self.d.remove()

    def write(self, text):
        with open(self.file, "w") as f:
            f.write(text)

    def run_config(self, *arguments, **environment):
        got = subprocess.run([ESPALIERD, "config", *arguments], capture_output=True, text=True, timeout=PATIENCE,
                             env={**os.environ, **environment})
        return got.returncode, got.stdout, got.stderr

    def test_show_says_where_values_come_from(self):
        self.write("cores: 7\nmemory_mib: 100\n")
        code, out, err = self.run_config("show", "--origin", "--config", self.file, "--memory", "200")
        self.assertEqual((code, err), (0, ""))
        lines = dict(line.split(": ", 1) for line in out.splitlines())
        self.assertEqual(lines["cores"].split(), ["7", "#", self.file + ":1"])
        self.assertEqual(lines["memory_mib"].split(), ["200", "#", "--memory"])
        self.assertEqual(lines["retries"].split(), ["2", "#", "default"])
        self.assertIn("/espalier", lines["home"])  # a default that is computed is shown as it is in force

    def test_found_without_being_named(self):
        os.mkdir(os.path.join(self.d.dir, "espalier"))
        self.file = os.path.join(self.d.dir, "espalier", "espalierd.yaml")
        self.write("cores: 3\n")
        self.assertIn("cores: 3\n", self.run_config("show", XDG_CONFIG_HOME=self.d.dir)[1])

    def test_check(self):
        self.write("cores: 7\n")
        self.assertEqual(self.run_config("check", "--config", self.file)[:2], (0, self.file + ": no faults\n"))
        self.write("coers: 7\nretries: -1\n")
        code, out, err = self.run_config("check", "--config", self.file, "--stop-kill", "1")
        self.assertEqual((code, out), (2, ""))
        self.assertEqual(err.splitlines()[0], self.file + ":1:1: error: coers: no such key; nearest is cores")
        self.assertIn(self.file + ":2:10: error: retries: ", err)
        self.assertIn("command line: error: --stop-kill: 1 must not be below stop_term_s (10)", err)
        self.assertIn("3 faults", err)

    def test_a_daemon_does_not_start_with_faults(self):
        self.write("coers: 7\n")
        got = subprocess.run([*self.d.argv(), "--config", self.file], capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual((got.returncode, got.stdout), (2, ""))
        self.assertIn("nearest is cores", got.stderr)

    def test_bad_usage(self):
        for arguments in ([], ["shwo"], ["show", "--cores"], ["show", "--coers", "3"], ["show", "x"],
                          ["show", "--config", "/nonexistent/x"]):
            code, out, err = self.run_config(*arguments)
            self.assertNotEqual(code, 0, arguments)
            self.assertEqual(out, "")
            self.assertTrue(err.startswith("espalierd"), err)
            self.assertEqual(len(err.splitlines()), 1, err)

    def test_the_daemon_reads_it(self):
        self.write("cores: 2\nmemory_mib: 1000000\nlauncher: fake\nstop_term_s: 0\nhome: home\nlisten: 'unix:%s'\n"
                   % self.d.address[5:])
        self.d.options = ["--config", self.file]
        self.d.argv = lambda: [ESPALIERD, "--config", self.file]
        self.d.start()
        ping = self.d.client.call("Ping")
        self.assertEqual((ping.cores, ping.memory_bytes), (2, 1000000 << 20))
        self.assertTrue(os.path.exists(os.path.join(self.d.home, "espalier.db")))  # relative to the file


class Backup(Case):
    def verb(self, verb, *arguments, home=None):
        got = subprocess.run([ESPALIERD, verb, *arguments, "--home", home or self.d.home], capture_output=True, text=True,
                             timeout=PATIENCE)
        return got.returncode, got.stdout, got.stderr

    def test_drill(self):
        """What docs/ops/backup.md says to do, after a disaster: jobs are submitted while the copy is made."""
        copy = os.path.join(self.d.dir, "copy.db")
        done = self.d.submit("steps=2 step_ms=1")
        self.d.wait(done, "COMPLETED")
        events = self.d.events(done)
        sent, stop = [], threading.Event()

        def submit():
            while not stop.is_set():
                sent.append(self.d.submit("steps=1", ranks=1, priority=1))

        thread = threading.Thread(target=submit)
        thread.start()
        try:
            while len(sent) < 5 and thread.is_alive():
                time.sleep(0.01)
            before = list(sent)
            code, out, err = self.verb("backup", copy)
        finally:
            stop.set()
            thread.join()
        self.assertGreaterEqual(len(before), 5)
        self.assertEqual((code, err), (0, ""))
        self.assertIn("copied %s/espalier.db to %s: " % (self.d.home, copy), out)
        self.d.end(signal.SIGKILL)
        last = max(int(name) for name in os.listdir(os.path.join(self.d.home, "jobs")))
        with open(os.path.join(self.d.home, "espalier.db"), "r+b") as f:
            f.write(b"\0" * 8192)
        code, out, err = self.verb("restore", copy)
        self.assertEqual((code, err), (0, ""))
        self.d.start()
        self.assertEqual([e.SerializeToString() for e in self.d.events(done)], [e.SerializeToString() for e in events])
        for job in before:  # all that was acknowledged before the copy began
            self.d.wait(job, "COMPLETED")
        self.assertGreater(int(self.d.submit("steps=1")), last)  # no folder is used twice

    def test_a_store_elsewhere(self):
        """What the doctor says to do where the home lies on NFS; and a store that is lost leaves the folders alone."""
        copy, store = os.path.join(self.d.dir, "copy.db"), os.path.join(self.d.dir, "local", "jobs.db")
        done = self.d.submit("steps=1")
        self.d.wait(done, "COMPLETED")
        events = self.d.events(done)
        self.assertEqual(self.verb("backup", copy)[0], 0)
        self.d.end()
        self.assertIn("restored %s to %s: " % (copy, store), self.verb("restore", copy, "--store", store)[1])
        self.d.options += ["--store", store]
        self.d.start()
        self.assertIn("espalier.db is not the job store, %s is" % store, self.d.said())
        self.assertEqual([e.SerializeToString() for e in self.d.events(done)], [e.SerializeToString() for e in events])
        got = subprocess.run([ESPALIERD, "--home", self.d.dir + "/other", "--store", store, "--listen",
                              "unix:" + self.d.dir + "/other/s"], capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(got.returncode, 4, got.stderr)
        self.assertIn("another espalierd uses the store " + store, got.stderr)
        self.assertEqual(self.verb("backup", copy, "--store", store)[0], 0)
        self.d.end(signal.SIGKILL)
        self.a_home_that_is_away(store, done)
        os.unlink(store)
        self.d.start()
        self.assertGreater(int(self.d.submit("steps=1")), int(done))

    def a_home_that_is_away(self, store, done):
        """Its file system is not mounted: what the store knows would be started anew in an empty folder."""
        away, file = self.d.home + ".away", os.path.join(self.d.home, "id")
        start = lambda: subprocess.run(self.d.argv(), capture_output=True, text=True, timeout=PATIENCE)
        os.rename(self.d.home, away)
        got = start()
        self.assertEqual(got.returncode, 5, got.stderr)
        remedy = re.search(r"look whether its file system is mounted.*: (echo [0-9a-f]{16} >%s)$" % file, got.stderr.strip())
        self.assertTrue(remedy, got.stderr)
        subprocess.run(remedy[1], shell=True, check=True)
        self.d.start()
        self.assertEqual(self.d.state(done), "COMPLETED")
        self.d.end()
        with open(file, "w") as f:
            f.write("%016x\n" % 7)
        got = start()
        self.assertEqual(got.returncode, 5, got.stderr)
        self.assertIn("has the id 0000000000000007; correct home or store", got.stderr)
        shutil.rmtree(self.d.home)
        os.rename(away, self.d.home)

    def test_refused(self):
        copy = os.path.join(self.d.dir, "copy.db")
        self.assertEqual(self.verb("backup", copy)[0], 0)
        code, out, err = self.verb("restore", copy)
        self.assertEqual((code, out), (4, ""))
        self.assertIn("another espalierd uses the home", err)
        code, out, err = self.verb("backup", copy, home=self.d.dir + "/none")
        self.assertEqual((code, out), (3, ""))
        self.assertIn("espalier.db: No such file", err)
        self.assertEqual(self.verb("backup")[0], 2)
        self.assertEqual(self.verb("backup", copy, "x")[0], 2)
        self.assertEqual(os.listdir(self.d.dir).count("none"), 0)

    def test_a_store_of_the_first_schema(self):
        self.d.end()
        path = os.path.join(self.d.home, "espalier.db")
        os.unlink(path)
        store = sqlite3.connect(path)
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "stores", "schema_1.sql")) as f:
            store.executescript(f.read())
        store.close()
        self.d.start()
        self.assertEqual([self.d.state(j) for j in "124"], ["COMPLETED", "FAILED", "QUEUED"])
        self.assertEqual(self.d.changes("2"), ["QUEUED", "SUBMITTED", "STARTING", "RUNNING", "REQUEUED", "SUBMITTED",
                                              "STARTING", "RUNNING", "FAILED"])
        self.c.call("Cancel", id="4")
        self.assertEqual(self.d.state("4"), "CANCELLED")


class Metrics(Case):
    OPTIONS = ("--metrics-listen", "127.0.0.1:0")

    def url(self):
        for line in reversed(self.d.said().splitlines()):
            if "metrics on " in line:
                return line.split("metrics on ")[1]
        raise AssertionError(self.d.said())

    def page(self):
        with urllib.request.urlopen(self.url(), timeout=PATIENCE) as got:
            self.assertTrue(got.headers["Content-Type"].startswith("text/plain; version=0.0.4"))
            text = got.read().decode()
        values, typed, seen = {}, set(), set()
        for line in text.splitlines():  # as Prometheus reads it
            if line.startswith("# TYPE "):
                name = line.split()[2]
                self.assertNotIn(name, typed)
                typed.add(name)
            elif not line.startswith("# HELP "):
                name, value = line.rsplit(" ", 1)
                self.assertNotIn(name, values)
                values[name] = float(value)
                seen.add(name)
                base = name.split("{")[0]
                self.assertTrue(base in typed or base.rsplit("_", 1)[0] in typed, name)
        return values

    def until(self, wanted):
        """The page once it says all of this. It may be 250 ms old, so one value of it tells nothing about another."""
        deadline = time.monotonic() + PATIENCE
        while True:
            page = self.page()
            if all(page.get("espalier_" + name) == value for name, value in wanted.items()):
                return page
            self.assertLess(time.monotonic(), deadline, (wanted, page))
            time.sleep(0.05)

    def test_numbers(self):
        self.d.wait(self.d.submit("steps=3 step_ms=1"), "COMPLETED")
        self.d.wait(self.d.submit("steps=3 step_ms=1 exit=3 die_at=1 die_attempts=9"), "FAILED")
        got = self.until({'jobs{state="FAILED"}': 1, 'jobs{state="COMPLETED"}': 1, 'jobs{state="QUEUED"}': 0})
        self.assertEqual((got["espalier_cores"], got["espalier_cores_free"]), (2, 2))
        self.assertGreaterEqual(got["espalier_report_records_total"], 4)
        self.assertGreater(got["espalier_commit_seconds_count"], 5)
        self.assertEqual(got['espalier_commit_seconds_bucket{le="+Inf"}'], got["espalier_commit_seconds_count"])
        self.assertEqual(got["espalier_events_total"], max(e.cursor for e in self.d.events()))
        before = {k: v for k, v in got.items() if k.startswith("espalier_jobs{")}
        self.d.restart()
        after = {k: v for k, v in self.page().items() if k.startswith("espalier_jobs{")}
        self.assertEqual(after, before)  # counted in the store, not since the start

    def test_a_running_job(self):
        job = self.d.submit("steps=1000 step_ms=1000000 report=0", ranks=2)
        self.d.wait(job, "STARTING", "RUNNING")
        store = self.d.database()
        token, = store.execute("SELECT token FROM attempts").fetchone()
        store.close()
        report = R.Record(number=1, progress=J.Progress(phase="search", total_step=5, total_steps=20, step_seconds=.25,
                                                        params_kept=.625))
        self.c.report(job_id=job, attempt=1, token=token, records=[report])
        got = self.until({'job_step_seconds{job="%s"}' % job: .25})
        self.assertEqual(got['espalier_job_params_kept{job="%s"}' % job], .625)
        self.assertEqual(got['espalier_job_progress{job="%s"}' % job], .25)
        self.assertEqual((got["espalier_cores_free"], got["espalier_jobs_placed"]), (0, 1))
        self.c.call("Cancel", id=job)
        self.assertNotIn('espalier_job_step_seconds{job="%s"}' % job, self.until({"cores_free": 2}))

    def test_alerts_speak_of_what_is_there(self):
        rules = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "deploy", "monitoring", "alerts.yml")
        with open(rules) as f:
            used = re.findall(r"(espalier_\w+)(?:\{state=\"(\w+)\"\})?", re.sub(r"espalier_webhook\w+", "", f.read()))
        self.assertGreater(len(used), 6)
        there = self.page()
        for name, state in used:
            self.assertTrue(any(k == name + ('{state="%s"}' % state if state else "") or k.startswith(name + "{le=")
                                for k in there), (name, state))

    def test_what_is_no_page(self):
        for path, method, code in (("/", "GET", 404), ("/metrics", "POST", 405)):
            with self.assertRaises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(urllib.request.Request(self.url().replace("/metrics", path), method=method))
            self.assertEqual(caught.exception.code, code)
            caught.exception.close()
        host, port = self.url()[7:].split("/")[0].split(":")
        with socket.create_connection((host, int(port))) as s:
            s.sendall(b"\xff\x00" * 5000)
        idle = [socket.create_connection((host, int(port))) for _ in range(12)]
        self.assertIn("espalier_build_info", str(self.page()))
        for s in idle:
            s.close()

    def test_loopback_only(self):
        for address, said in (("0.0.0.0:9470", "loopback only"), ("9470", "expects ADDRESS:PORT"),
                              ("127.0.0.1:x", "expects"), ("127.0.0.1:70000", "expects"), ("[::]:1", "loopback only")):
            got = subprocess.run([ESPALIERD, "--metrics-listen", address], capture_output=True, text=True, timeout=PATIENCE)
            self.assertEqual(got.returncode, 2)
            self.assertIn(said, got.stderr)
        host = self.url()[7:].split("/")[0]
        other = Daemon("--metrics-listen", host)
        got = subprocess.run(other.argv(), capture_output=True, text=True, timeout=PATIENCE)
        other.remove()
        self.assertEqual(got.returncode, 11, got.stderr)
        self.assertIn("cannot serve metrics on " + host, got.stderr)


class Receiver:
    """An HTTP server that checks signatures and answers as the test says; one that does not listen yet has its port."""
    SECRET = b"a secret of the tests, 0123456789"

    def __init__(self, listens=True):
        self.got, self.refused, self.codes = [], [], []
        self.hang = threading.Event()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                receiver.take(self)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
        self.server.server_bind()
        self.url = "http://127.0.0.1:%d/hook" % self.server.server_port
        self.thread = None
        if listens:
            self.listen()

    def listen(self):
        self.server.server_activate()
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def take(self, request):
        body = request.rfile.read(int(request.headers["Content-Length"]))
        parts = dict(p.split("=", 1) for p in request.headers["Espalier-Signature"].split(","))
        sum_ = hmac.new(self.SECRET, parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
        code = self.codes.pop(0) if self.codes else 200
        if abs(int(parts["t"]) - time.time()) > 60 or not hmac.compare_digest(sum_, parts["v1"]):
            code = 400
        if self.hang.is_set():
            time.sleep(3)
        event = json.loads(body)
        if str(event["event"]) != request.headers["Espalier-Event"] or request.headers["Content-Type"] != "application/json":
            code = 400
        (self.got if code < 300 else self.refused).append(event)
        request.send_response(code)
        request.end_headers()

    def close(self):
        if self.thread:
            self.server.shutdown()
            self.thread.join()
        self.server.server_close()


class Webhook(unittest.TestCase):
    def setUp(self):
        self.receiver = Receiver()
        self.d = Daemon("--webhook-url", self.receiver.url, "--webhook-retry", "0.05", "--metrics-listen", "127.0.0.1:0")
        self.secret = os.path.join(self.d.dir, "secret")
        self.write_secret(Receiver.SECRET + b"\n")
        self.d.options += ["--webhook-secret-file", self.secret]

    def tearDown(self):
        self.d.remove()
        self.receiver.close()

    def write_secret(self, data, mode=0o600):
        with open(self.secret, "wb") as f:
            f.write(data)
        os.chmod(self.secret, mode)

    def wait_until(self, done):
        deadline = time.monotonic() + PATIENCE
        while not done():
            self.assertLess(time.monotonic(), deadline, (self.receiver.got, self.d.said()))
            time.sleep(0.02)

    def wait_for(self, n):
        self.wait_until(lambda: len(self.receiver.got) >= n)

    def settle(self):
        """Until no change is owed to the receiver any more, and the store knows it."""
        last, store = self.changes()[-1], self.d.database()
        self.wait_until(lambda: store.execute("SELECT cursor FROM marks WHERE name = 'webhook'").fetchone()[0] >= last)
        store.close()

    url, page, until = Metrics.url, Metrics.page, Metrics.until

    def changes(self):
        return [e.cursor for e in self.d.events() if e.WhichOneof("kind") == "state"]

    def test_every_change_once_and_in_order(self):
        self.d.start()
        job = self.d.submit("steps=2 step_ms=1")
        self.d.wait(job, "COMPLETED")
        self.wait_for(5)
        self.assertEqual([e["event"] for e in self.receiver.got], self.changes())
        self.assertEqual([(e["from"], e["to"]) for e in self.receiver.got],
                         [("", "QUEUED"), ("QUEUED", "SUBMITTED"), ("SUBMITTED", "STARTING"), ("STARTING", "RUNNING"),
                          ("RUNNING", "COMPLETED")])
        last = self.receiver.got[-1]
        self.assertEqual((last["version"], last["job"], last["name"], last["attempt"]), (1, job, "steps=2 step_ms=1", 1))
        self.until({"webhook_waiting": 0, "webhook_delivered_total": 5})

    def test_failures_are_tried_again_and_nothing_is_lost(self):
        self.receiver.codes = [500, 503, 429, 200, 408]
        self.d.start()
        self.d.wait(self.d.submit("steps=2 step_ms=1"), "COMPLETED")
        self.wait_for(5)
        self.assertEqual([e["event"] for e in self.receiver.got], self.changes())
        self.assertEqual(len(self.receiver.refused), 4)
        self.until({"webhook_waiting": 0, "webhook_delivered_total": 5, "webhook_failures_total": 4})
        self.assertIn("webhook: event 1 is tried again: HTTP status 500", self.d.said())

    def test_what_is_refused_is_dropped_and_said(self):
        self.receiver.codes = [400]
        self.d.start()
        self.d.wait(self.d.submit("steps=2 step_ms=1"), "COMPLETED")
        self.wait_for(4)
        self.assertEqual([e["event"] for e in self.receiver.got], self.changes()[1:])
        self.until({"webhook_waiting": 0, "webhook_delivered_total": 4, "webhook_dropped_total": 1})
        self.assertIn("webhook: event 1 was dropped: HTTP status 400", self.d.said())

    def test_the_receiver_is_away_over_restarts(self):
        self.receiver.close()
        self.receiver = Receiver(listens=False)
        self.d.options[self.d.options.index("--webhook-url") + 1] = self.receiver.url
        self.d.start()
        for _ in range(2):
            self.d.wait(self.d.submit("steps=2 step_ms=1"), "COMPLETED")
            self.d.restart()
        self.receiver.listen()
        self.wait_for(10)
        self.assertEqual([e["event"] for e in self.receiver.got], self.changes())
        self.settle()
        self.d.restart(signal.SIGTERM)  # what was delivered is not sent again
        self.d.wait(self.d.submit("steps=2 step_ms=1"), "COMPLETED")
        self.wait_for(15)
        self.assertEqual([e["event"] for e in self.receiver.got], self.changes())

    def test_a_slow_receiver_holds_nobody_up(self):
        self.receiver.hang.set()
        self.d.start()
        began = time.monotonic()
        jobs = [self.d.submit("steps=2 step_ms=1") for _ in range(20)]
        for job in jobs:
            self.d.wait(job, "COMPLETED")
        self.assertLess(time.monotonic() - began, 20)
        self.assertEqual(self.d.end(), 0)  # ends with a delivery under way
        self.assertLess(len(self.receiver.got), 60)
        self.receiver.hang.clear()
        self.d.start()
        # What was under way may have come twice: numbers tell more than their count.
        self.wait_until(lambda: sorted({e["event"] for e in self.receiver.got}) == self.changes())

    def test_what_is_not_delivered_is_not_removed(self):
        self.d.start()
        told = self.d.submit("steps=2 step_ms=1")
        self.d.wait(told, "COMPLETED")
        self.settle()
        self.receiver.codes = [500] * 1000
        job = self.d.submit("steps=2 step_ms=1")
        self.d.wait(job, "COMPLETED")
        with self.assertRaises(grpc.RpcError) as caught:
            self.d.client.call("Remove", id=job)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)
        self.assertIn("unset webhook.url and restart espalierd", caught.exception.details())
        self.d.client.call("Remove", id=told)
        self.receiver.codes = []
        self.settle()
        self.d.client.call("Remove", id=job)

    def test_given_up_in_time(self):
        self.receiver.codes = [500] * 1000
        self.d.options += ["--webhook-states", "COMPLETED", "--webhook-give-up", "2"]
        self.d.start()
        self.d.wait(self.d.submit("steps=2 step_ms=1"), "COMPLETED")
        self.until({"webhook_dropped_total": 1})
        self.assertGreater(len(self.receiver.refused), 1)
        self.receiver.codes = []
        self.d.options[-1] = "3600"
        self.d.restart()
        self.d.wait(self.d.submit("steps=2 step_ms=1"), "COMPLETED")
        self.wait_for(1)
        self.assertEqual([(e["to"], e["event"]) for e in self.receiver.got], [("COMPLETED", self.changes()[-1])])

    def test_a_dead_receiver_keeps_no_job(self):
        """Fifteen changes, each of which would have been tried for 2 s of its own."""
        self.receiver.codes = [500] * 1000
        self.d.options += ["--webhook-give-up", "2"]
        self.d.start()
        jobs = [self.d.submit("steps=2 step_ms=1") for _ in range(3)]
        for job in jobs:
            self.d.wait(job, "COMPLETED")
        began = time.monotonic()
        self.until({"webhook_dropped_total": 15})
        self.assertLess(time.monotonic() - began, 15)
        self.settle()
        for job in jobs:
            self.d.client.call("Remove", id=job)

    def test_what_the_receiver_does_not_want_keeps_no_job(self):
        self.receiver.codes = [500] * 1000
        self.d.options += ["--webhook-states", "COMPLETED"]
        self.d.start()
        self.d.wait(self.d.submit("steps=2 step_ms=1"), "COMPLETED")
        job = self.d.submit("steps=2", hold=True)
        self.d.client.call("Cancel", id=job)
        self.d.wait(job, "CANCELLED")
        self.d.client.call("Remove", id=job)

    def refused(self, code, said, *options):
        got = subprocess.run([*self.d.argv(), *options], capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(got.returncode, code, got.stderr)
        self.assertIn(said, got.stderr)

    def test_bad_configuration(self):
        self.refused(2, "expects http:// or https://", "--webhook-url", "ftp://x")
        self.refused(2, "needs webhook.secret_file", "--webhook-secret-file", "")
        self.refused(2, "'DONE' is no state", "--webhook-states", "DONE")
        self.refused(3, "cannot read the webhook's secret", "--webhook-secret-file", "/nonexistent")
        self.write_secret(b"short")
        self.refused(2, "16 are the least")
        self.write_secret(Receiver.SECRET, 0o644)
        self.refused(7, "closed to others (mode 644)")


if __name__ == "__main__":
    main()
