"""The verbs by which people steer jobs, through the client and a real espalierd with simulated jobs."""
import csv
import io
import os
import time

import clitest
from clitest import CliTest

ESPALIERD = os.environ["ESPALIERD"]


class Control(CliTest):
    def setUp(self):
        super().setUp()
        self.start_server([ESPALIERD, "--home", self.path("home"), "--listen", "unix:" + self.socket, "--launcher", "fake",
                           "--cores", "2", "--memory", "8000", "--retry-wait", "0"], "listening")

    def submit(self, script, *args):
        return self.check(0, "submit", "job.yaml", "--set", "name=" + script, *args).strip()

    def show(self, job):
        return self.check_json("show", job, "--json")

    def wait_state(self, job, *states):
        until = time.monotonic() + 30
        while self.show(job)["state"] not in states:
            self.assertLess(time.monotonic(), until, self.show(job))
            time.sleep(0.05)

    def test_pause_and_resume(self):
        job = self.submit("steps=10000 step_ms=20")
        self.wait_state(job, "RUNNING")
        self.assertIn(self.check(0, "pause", job, "--reason", "lunch"), ("%s PAUSING\n" % job, "%s PAUSED\n" % job))
        self.wait_state(job, "PAUSED")
        self.check(5, "hold", job, says="`espalier resume %s`" % job)
        self.check(9, "wait", job, "--timeout", "1")
        self.assertEqual(self.check_json("resume", job, "--json"), {"id": job, "state": "REQUEUED"})
        self.wait_state(job, "RUNNING")
        shown = self.check(0, "show", job)
        self.assertRegex(shown, r"attempts +#1 .*paused\n")
        self.assertRegex(shown, r" +#2 ")
        self.assertIn("lunch", self.check(0, "events", job, "--kind", "state"))
        self.check(0, "cancel", job)

    def test_hold_and_release_several(self):
        a, b = self.submit("steps=2 step_ms=5", "--hold"), self.submit("steps=2 step_ms=5", "--hold")
        self.assertEqual([self.show(j)["state"] for j in (a, b)], ["HELD", "HELD"])
        self.check(5, "pause", a, says="`espalier release %s`" % a)
        out = self.check_json("release", a, b, "--json", lines=True)
        self.assertEqual(out, [{"id": a, "state": "QUEUED"}, {"id": b, "state": "QUEUED"}])
        self.check(0, "wait", a)
        self.check(0, "wait", b)
        # One that refuses does not keep the others from being asked; the worst exit code counts.
        c = self.submit("steps=2", "--hold")
        rc, out, err = self.run_cli("release", a, "77", c)
        self.assertEqual((rc, out), (5, c + " QUEUED\n"))
        self.assertIn("no job 77", err)

    def test_retry(self):
        job = self.submit("steps=3 step_ms=5 die_at=2 die_attempts=1 signal=9", "--set", "retries=0")
        self.check(20, "wait", job)
        self.check(3, "retry", job, "--from", "70", says="has no checkpoint '70'; `espalier ckpt ls %s`" % job)
        self.assertEqual(self.check(0, "retry", "last", "--reason", "again"), job + " REQUEUED\n")
        self.check(0, "wait", job)
        self.check(5, "retry", job, says="has done all it was asked")
        self.assertEqual([a["reason"] for a in self.show(job)["attempts"]], ["rank_lost", ""])

    def test_update_and_rm(self):
        job = self.submit("steps=2", "--hold")
        self.assertEqual(self.check(0, "update", job, "--priority", "7"), job + " HELD\n")
        self.assertEqual(self.show(job)["priority"], 7)
        self.check(2, "update", job, says="--priority N")
        self.check(2, "update", job, "--priority", "101", says="priority")
        self.check(5, "rm", job, says="`espalier cancel %s`" % job)
        self.check(0, "cancel", job)
        folder = self.show(job)["folder"]
        self.assertEqual(self.check_json("rm", job, "--json"), {"id": job, "state": "REMOVED"})
        self.check(3, "show", job)
        self.assertFalse(os.path.exists(folder))

    def test_resolve(self):
        job = self.submit("silent=1")
        self.check(2, "resolve", job, says="--as expects failed or requeue")
        self.check(2, "resolve", job, "--as", "dead", says="got 'dead'")
        self.check(5, "resolve", job, "--as", "failed", says="what it does is known")
        self.wait_state(job, "UNREACHABLE")
        self.assertEqual(self.check(0, "resolve", job, "--as", "failed", "--reason", "saw it"), job + " FAILED\n")
        self.assertIn("saw it", self.show(job)["text"])

    def test_events_do_not_wait(self):
        job = self.submit("steps=10000 step_ms=20")
        self.wait_state(job, "RUNNING")
        events = self.check_json("events", job, "--json", lines=True)
        self.assertEqual([e["state"]["to"] for e in events if "state" in e], ["QUEUED", "SUBMITTED", "STARTING", "RUNNING"])
        after = events[1]["cursor"]
        rest = self.check_json("events", job, "--json", "--after", str(after), lines=True)
        self.assertEqual([e["cursor"] for e in rest][:len(events) - 2], [e["cursor"] for e in events[2:]])
        self.assertIn("SUBMITTED", self.check(0, "events", "last"))
        self.check(0, "metrics", job, says="no metrics yet")
        self.check(0, "cancel", job)
        self.check(3, "events", "99")

    def test_csv_has_its_heading(self):
        job = self.submit("steps=1", "--hold")
        rows = list(csv.reader(io.StringIO(self.check(0, "metrics", job, "--csv"))))
        self.assertEqual(rows, [["time_ms", "total_step", "name", "value", "unit"]])
        self.check(2, "metrics", job, "--csv", "--json", says="cannot go together")


if __name__ == "__main__":
    clitest.main()
