"""Nodes over the wire: gangs, cores of one's own, draining; and what Explain says in every state. Simulated ranks."""
import time

from bed import J, Case, Client, main

J.PauseRequest = J.ControlRequest
Client.REPLIES.update(Explain=J.ExplainReply, Nodes=J.NodesReply, DrainNode=J.DrainNodeReply, Pause=J.ControlReply)
LONG = "steps=100000 step_ms=50"


class Nodes(Case):
    OPTIONS = ("--nodes", "{host: node-a, cores: 4, memory_mib: 64000}",
               "--nodes", "{host: node-b, cores: 2, memory_mib: 64000, gpus: 1}")

    def explain(self, job):
        return self.c.call("Explain", id=job)

    def causes(self, job):
        return " | ".join(c.text + " -> " + c.remedy for c in self.explain(job).causes)

    def nodes(self):
        return {n.host: n for n in self.c.call("Nodes").nodes}

    def submit(self, ranks, threads=1, **more):
        return self.d.submit(LONG, ranks=ranks, threads=threads, **more)

    def test_every_rank_has_cores_of_its_own(self):
        jobs = [self.submit(ranks=2), self.submit(ranks=1), self.submit(ranks=1), self.submit(ranks=1, gpus=1)]
        taken = []
        for job in jobs:
            got = self.d.wait(job, "RUNNING")
            self.assertEqual(len(got.places), got.ranks)
            for place in got.places:
                self.assertEqual(len(place.cores), 1)
                taken += [(place.host, core) for core in place.cores]
        self.assertEqual(len(taken), len(set(taken)), taken)
        self.assertEqual([(p.host, list(p.gpus)) for p in self.d.get(jobs[3]).places], [("node-b", [0])])
        free = self.nodes()
        self.assertEqual(free["node-a"].cores_free + free["node-b"].cores_free, 6 - len(taken))
        self.assertEqual(free["node-b"].gpus_free, 0)
        self.assertIn(jobs[3], free["node-b"].jobs)

    def test_a_gang_over_both_nodes_and_what_waits_for_it(self):
        small = self.submit(ranks=1)
        self.d.wait(small, "RUNNING")
        wide = self.submit(ranks=2, threads=2)
        both = self.submit(ranks=4, threads=1, priority=60)
        self.d.wait(wide, "RUNNING")
        got = self.explain(both)
        self.assertEqual((got.position, got.waiting), (1, 1))
        text = self.causes(both)
        self.assertRegex(text, r"of its ranks will be on node-a and need \d cores \(\d of 4 are free\); it waits for job")
        behind = self.submit(ranks=1)
        if self.d.state(behind) == "QUEUED":
            self.assertIn("kept for job %s (priority 60, this one has 50)" % both, self.causes(behind))
            self.assertIn("espalier update %s --priority 61" % behind, self.causes(behind))
        for job in (small, wide):
            self.c.call("Cancel", id=job)
        self.assertEqual(len(self.d.wait(both, "RUNNING").places), 4)

    def test_placements_survive_the_daemon(self):
        job = self.submit(ranks=2)
        before = [(p.host, tuple(p.cores)) for p in self.d.wait(job, "RUNNING").places]
        self.d.restart()
        self.assertEqual([(p.host, tuple(p.cores)) for p in self.d.get(job).places], before)
        other = self.d.wait(self.submit(ranks=4), "RUNNING")
        self.assertFalse(set(before) & {(p.host, tuple(p.cores)) for p in other.places})

    def test_a_drained_node_takes_nothing_new(self):
        runs = self.submit(ranks=1, gpus=1)
        self.d.wait(runs, "RUNNING")
        self.assertTrue(self.c.call("DrainNode", host="node-b", drain=True).node.drained)
        waits = self.submit(ranks=1, gpus=1)
        self.d.restart()
        self.assertTrue(self.nodes()["node-b"].drained)
        self.assertEqual(self.d.state(waits), "QUEUED")
        self.assertEqual(self.d.state(runs), "RUNNING")
        self.assertIn("node node-b is drained", self.causes(waits))
        self.assertIn("espalier nodes --resume node-b", self.causes(waits))
        self.c.call("Cancel", id=runs)
        self.d.wait(runs, "CANCELLED")
        self.assertEqual(self.d.state(waits), "QUEUED")
        self.c.call("DrainNode", host="node-b", drain=False)
        self.d.wait(waits, "RUNNING")
        self.refused("NOT_FOUND", "no node elsewhere", self.c.call, "DrainNode", host="elsewhere", drain=True)

    def test_what_is_held_on_one_node_takes_nothing_from_another(self):
        """node-a is taken out of the configuration while 4 ranks run there: node-b, which is idle, goes on."""
        self.d.wait(self.submit(ranks=4), "RUNNING")
        self.d.end()
        at = self.d.options.index("{host: node-a, cores: 4, memory_mib: 64000}")
        self.d.options[at - 1:at + 1] = []
        self.d.start()
        self.d.wait(self.submit(ranks=1), "RUNNING")

    def test_what_never_fits_is_refused_with_the_numbers(self):
        self.refused("RESOURCE_EXHAUSTED", "only 0 of the job's 1 ranks have room on the 2 nodes", self.submit, ranks=1,
                     threads=5)
        self.refused("RESOURCE_EXHAUSTED", "needs 8 cores (8 ranks x 1 threads) and this daemon has 6", self.submit,
                     ranks=8)

    def test_explain_in_every_state(self):
        job = self.submit(ranks=1)
        self.d.wait(job, "RUNNING")
        time.sleep(0.2)
        self.assertIn("it runs", self.explain(job).summary)
        self.c.call("Pause", id=job)
        self.d.wait(job, "PAUSED")
        self.assertIn("espalier resume %s" % job, self.causes(job))
        self.c.call("Cancel", id=job)
        self.d.wait(job, "CANCELLED")
        self.assertIn("it ended as CANCELLED after 1 attempt", self.explain(job).summary)
        deaf = self.d.submit("steps=1000 step_ms=50 deaf=2")
        self.d.wait(deaf, "RUNNING")
        self.c.call("Pause", id=deaf)
        self.assertIn("SIGKILL after 10 min", self.causes(deaf))  # pause_kill_s, not stop_kill_s
        self.c.call("Cancel", id=deaf)
        self.assertIn("SIGKILL after 30 s", self.causes(deaf))
        done = self.d.submit("steps=2 step_ms=1")
        self.d.wait(done, "COMPLETED")
        self.assertIn("espalier pull %s" % done, self.causes(done))
        bad = self.d.submit("steps=5 step_ms=1 die_at=2 die_attempts=9 exit=3")
        self.d.wait(bad, "REQUEUED", "FAILED")
        text = self.causes(bad)
        self.assertIn("espalier logs %s" % bad, text)
        self.d.wait(bad, "FAILED")
        self.assertRegex(self.explain(bad).summary, r"it ended as FAILED after \d attempts")
        self.refused("NOT_FOUND", "no job 99", self.explain, "99")

    def test_a_node_that_failed_is_avoided(self):
        job = self.d.submit("steps=100000 step_ms=20 die_at=100 lost=1", ranks=1)
        got = self.d.wait(job, "RUNNING")
        self.assertEqual(got.attempt, 1)
        first = got.places[0].host
        while self.d.get(job).attempt == 1:
            time.sleep(0.02)
        got = self.d.wait(job, "RUNNING")
        self.assertEqual([a.reason for a in got.attempts], ["node_lost", ""])
        self.assertNotEqual(got.places[0].host, first)

    def test_a_job_waits_between_attempts_and_starts_by_itself(self):
        job = self.d.submit("steps=5 step_ms=1 die_at=2 die_attempts=9 exit=3")
        got = self.d.wait(job, "REQUEUED", "FAILED")
        if got.state == J.JOB_STATE_REQUEUED:
            self.assertRegex(self.causes(job), r"it may start in \d+ s")
        self.d.wait(job, "FAILED")  # nothing else wakes the daemon: it is alone
        self.assertGreater(self.d.get(job).attempt, 1)


if __name__ == "__main__":
    main()
