"""What an administrator relies on: notification of systemd, configuration, metrics, webhook, backup."""
import os
import signal
import socket
import sqlite3
import subprocess
import threading
import unittest

from bed import ESPALIERD, Case, Daemon, main


class Notify(unittest.TestCase):
    def heard(self, name, bind):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listener.settimeout(20)
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
        d.process.wait(20)
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
        got = subprocess.run([ESPALIERD, "config", *arguments], capture_output=True, text=True, timeout=20,
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
        got = subprocess.run([*self.d.argv(), "--config", self.file], capture_output=True, text=True, timeout=20)
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
                             timeout=60)
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
        while len(sent) < 5:
            pass
        before = list(sent)
        code, out, err = self.verb("backup", copy)
        stop.set()
        thread.join()
        self.assertEqual((code, err), (0, ""))
        self.assertIn("wrote %s: " % copy, out)
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


if __name__ == "__main__":
    main()
