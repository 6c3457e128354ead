"""The client and the real espalierd with simulated jobs: a job's whole way as its user sees it."""
import os
import signal
import subprocess
import time

import clitest
from clitest import ESPALIER, CliTest, Terminal

ESPALIERD = os.environ["ESPALIERD"]


class DaemonTest(CliTest):
    def setUp(self):
        super().setUp()
        self.daemon = self.start_daemon()

    def start_daemon(self):
        return self.start_server([ESPALIERD, "--home", self.path("home"), "--listen", "unix:" + self.socket,
                                  "--launcher", "fake", "--cores", "4", "--memory", "8000", "--stop-term", "1",
                                  "--stop-kill", "2"], "listening")

    def submit(self, script, *args):
        """Submits a job whose simulated life is `script` (daemon/launch/fake.c); its id."""
        out = self.check(0, "submit", "job.yaml", "--set", "name=" + script, *args)
        self.assertRegex(out, r"^\d+\n$")
        return out.strip()


class Life(DaemonTest):
    def test_a_job_completes(self):
        job = self.submit("steps=5 step_ms=20")
        self.check(0, "wait", job)
        shown = self.check_json("show", "last", "--json")
        self.assertEqual((shown["id"], shown["state"], shown["attempt"]), (job, "COMPLETED", 1))
        with open(self.path("job.yaml")) as f:
            self.assertEqual(self.check(0, "show", job, "--file"), f.read())
        self.assertEqual(shown["overrides"], [{"key": "name", "value": "steps=5 step_ms=20"}])
        row = self.check_json("jobs", "--json")[0]
        self.assertEqual((row["id"], row["state"], row["progress"]["step"]), (job, "COMPLETED", 5))
        self.assertIn("COMPLETED", self.check(0, "jobs"))
        self.check(5, "cancel", job, says="job " + job)
        self.check(0, "logs", job)

    def test_a_job_fails(self):
        job = self.submit("steps=9 step_ms=10 die_at=3 die_attempts=99 exit=3")
        self.check(20, "wait", job, says="job %s is FAILED" % job)
        self.check(20, "watch", job)
        shown = self.check_json("show", job, "--json")
        self.assertEqual((shown["state"], shown["attempt"]), ("FAILED", 3))
        self.assertIn(job, self.check(0, "jobs", "--state", "failed"))
        self.check(0, "jobs", "--state", "running", says="no jobs")

    def test_a_job_is_cancelled(self):
        job = self.submit("steps=10000 step_ms=20")
        self.check(9, "wait", job, "--timeout", "1", says="is still")
        self.assertIn(self.check(0, "cancel", "last", "--reason", "a slip"), (job + " STOPPING\n", job + " CANCELLED\n"))
        self.check(21, "wait", job)
        events = self.check_json("watch", job, "--json", code=21, lines=True)
        self.assertIn("a slip", " ".join(e["state"]["text"] for e in events if "state" in e))

    def test_watch_is_whole_across_a_kill(self):
        job = self.submit("steps=60 step_ms=50")
        with open(self.path("events"), "w") as to:
            client = subprocess.Popen([ESPALIER, "watch", job, "--json"], stdout=to, stderr=subprocess.PIPE, text=True,
                                      env=self.environment())
        self.wait_for(lambda: len(self.events()) > 6)
        self.daemon.kill()
        self.daemon.wait()
        time.sleep(0.3)
        self.daemon = self.start_daemon()
        _, err = client.communicate(timeout=60)
        self.assertEqual(client.returncode, 0, err)
        self.assertEqual(self.events(), [e["cursor"] for e in self.check_json("watch", job, "--json", lines=True)])
        self.assertIn("lost the connection", err)

    def events(self):
        with open(self.path("events")) as f:
            return [clitest.json.loads(line)["cursor"] for line in f if line.endswith("\n")]

    def wait_for(self, condition):
        until = time.monotonic() + 30
        while not condition():
            self.assertLess(time.monotonic(), until)
            time.sleep(0.02)

    def test_stop_while_waiting(self):
        job = self.submit("steps=40 step_ms=50")
        client = subprocess.Popen([ESPALIER, "wait", job], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  env=self.environment())
        time.sleep(0.5)
        self.daemon.terminate()
        self.daemon.wait()
        self.daemon = self.start_daemon()
        out, err = client.communicate(timeout=60)
        self.assertEqual((client.returncode, out), (0, ""), err)


class Input(DaemonTest):
    def test_findings_are_the_same_on_both_sides(self):
        plan = self.check_json("plan", "job.yaml", "--json")
        reply = self.check_json("submit", "job.yaml", "--json")
        self.assertEqual(reply["plan"], plan["plan"])
        self.assertEqual(reply["findings"], [])

    def test_warnings_do_not_refuse(self):
        rc, out, err = self.run_cli("submit", "job.yaml", "--set", "phases.pretrain.steps=10")
        self.assertEqual(rc, 0)
        self.assertIn("warning: phases.pretrain.steps: 10 steps end before", err)
        self.assertEqual(err.count("warning"), 1)

    def test_nothing_is_queued_with_errors(self):
        self.check(2, "submit", "job.yaml", "--set", "data.task=gone.json", says="gone.json: No such file")
        self.check(0, "jobs", says="no jobs")

    def test_unknown_jobs(self):
        for args in (("show", "9"), ("watch", "9"), ("wait", "9"), ("logs", "9"), ("cancel", "9"), ("pull", "9"),
                     ("structure", "9"), ("show", "last")):
            self.check(3, *args)
        job = self.submit("steps=2 step_ms=5")
        self.check(0, "wait", job)
        self.check(3, "structure", job, says="structure")
        self.check(3, "pull", job, says="has no results yet")


class OnATerminal(DaemonTest):
    def test_follow(self):
        term = Terminal(self, "submit", "job.yaml", "--set", "name=steps=20 step_ms=50", "--follow")
        self.assertEqual(term.close(), 0)
        screen = "\n".join(term.screen())
        self.assertRegex(screen, r"job 1  steps=20 step_ms=50  COMPLETED  after")
        self.assertIn("20 / 20", screen)

    def test_a_queued_job_waits_in_view(self):
        self.submit("steps=5000", "--set", "resources.ranks=4", "--set", "train.batch=16")
        term = Terminal(self, "submit", "job.yaml", "--set", "name=steps=2000", "--set", "resources.ranks=4", "--follow")
        self.assertTrue(term.read_until("QUEUED  waiting", 10), term.text())
        self.assertEqual(term.close(signal.SIGINT), 130)


if __name__ == "__main__":
    clitest.main()
