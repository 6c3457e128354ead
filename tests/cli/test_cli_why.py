"""What a user asks before, meanwhile and after: plan, submit --dry-run, explain, nodes, show. Simulated jobs."""
import time

import clitest
from test_cli_daemon import DaemonTest


class Why(DaemonTest):
    def test_plan_asks_the_daemon_and_does_without(self):
        plan = self.check_json("plan", "job.yaml", "--json")["plan"]
        self.assertEqual([p["seconds"] for p in plan["phases"]], [0] * len(plan["phases"]))
        self.assertIn("unknown: no job of this model", self.check(0, "plan", "job.yaml"))
        began = time.monotonic()
        self.check(0, "plan", "job.yaml")
        self.assertLess(time.monotonic() - began, 2)
        self.assertEqual(self.check_json("plan", "job.yaml", "--json", "--local")["plan"]["phases"], [])
        self.assertIn("parameters", self.check(0, "submit", "job.yaml", "--dry-run"))
        self.check(3, "show", "last", says="there is no job yet")  # nothing was queued
        self.check(2, "plan", "job.yaml", "--set", "model.width=97", says="model.width")
        self.check(2, "submit", "job.yaml", "--dry-run", "--set", "data.task=none/x.json", says="there is no folder")
        self.daemon.terminate()
        self.daemon.wait(20)
        self.assertIn("parameters", self.check(0, "plan", "job.yaml"))
        self.check(8, "submit", "job.yaml", "--dry-run", says="cannot reach")

    def test_explain(self):
        runs = self.submit("steps=10000 step_ms=20", "--set", "resources.threads=3")
        waits = self.submit("steps=10000 step_ms=20", "--set", "resources.threads=2")
        self.assertIn("%s  QUEUED  it is number 1 of 1" % waits, self.check(0, "explain", waits))
        self.assertIn("need 2 cores (1 of 4 are free); it waits for job %s" % runs, self.check(0, "explain", "last"))
        answer = self.check_json("explain", waits, "--json")
        self.assertEqual((answer["state"], answer["position"], len(answer["causes"])), ("QUEUED", 1, 1))
        while self.check_json("show", runs, "--json")["state"] != "RUNNING":
            time.sleep(0.05)
        self.assertIn("RUNNING", self.check(0, "explain", runs))
        self.check(3, "explain", "77", says="no job 77")
        self.check(2, "explain", says="explain")

    def test_nodes(self):
        job = self.submit("steps=10000 step_ms=20", "--set", "resources.threads=3")
        while self.check_json("show", job, "--json")["state"] != "RUNNING":
            time.sleep(0.05)
        node = self.check_json("nodes", "--json")["nodes"][0]
        self.assertEqual((node["cores"], node["cores_free"], node["jobs"], node["local"]), (4, 1, [job], True))
        self.assertIn("1 of 4", self.check(0, "nodes"))
        self.assertIn("0 on %s, cores 0-2" % node["host"], self.check(0, "show", job))
        self.assertIn("draining", self.check(0, "nodes", "--drain", node["host"]))
        self.check(3, "nodes", "--resume", "elsewhere", says="no node elsewhere")
        self.check(2, "nodes", "--drain", "a", "--resume", "b", says="do not go together")
        self.assertIn("in use", self.check(0, "nodes", "--resume", node["host"]))


if __name__ == "__main__":
    clitest.main()
