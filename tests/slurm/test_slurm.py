"""Jobs through a real Slurm: client -> daemon -> sbatch -> two ranks on two nodes, and what may go wrong on the way."""
import json
import signal
import time

from case import LONG, Case, main


class SlurmTest(Case):
    def test_1_two_ranks_on_two_nodes(self):
        id = self.submit("whole")
        self.wait(id, "COMPLETED")
        s = self.slurm_of(id)
        self.assertEqual((s["partition"], s["nodes"]), ("main", "n[1-2]"))
        self.assertGreater(int(s["id"]), 0)
        self.assertIn("2 ranks x 1 thread on n1", self.cli("watch", id))
        self.cli("pull", id, "-o", str(self.c.dir / "out"))
        self.assertTrue((self.c.dir / "out" / "export" / "shared" / "model.safetensors").stat().st_size > 1000)
        script = self.cli("show", id, "--script")
        self.assertEqual(script, self.attempt_file(id, "script.sh").read_text())
        self.assertIn("#SBATCH --no-requeue\n", script)
        self.assertIn("--mpi=pmix", self.attempt_file(id, "command.json").read_text())
        self.nothing_left()

    def test_2_cancel(self):
        id = self.submit("cancelled", LONG, resources=", threads: 2")
        self.wait(id, "RUNNING")
        self.wait_step(id)
        waiting = self.submit("waiting", LONG)
        self.until(lambda: self.slurm_of(waiting).get("reason"), lambda: self.story(waiting))
        self.assertEqual(self.slurm_of(waiting)["state"], "PENDING")
        self.assertEqual(self.job(waiting)["state"], "SUBMITTED")
        self.cli("update", waiting, "--priority", "90")
        shown = lambda: self.c.slurm("scontrol", "show", "job", self.slurm_of(waiting)["id"])  # noqa: E731
        self.until(lambda: "Nice=100 " in shown(), shown)
        self.cli("cancel", waiting)
        self.wait(waiting, "CANCELLED", seconds=20)
        self.cli("cancel", id)
        self.wait(id, "CANCELLED", seconds=60)
        self.assertTrue(list((self.c.dir / "home" / "jobs" / id / "checkpoints").glob("step-*.safetensors")))
        self.nothing_left()

    def test_3_cancelled_in_slurm(self):
        id = self.submit("outside", LONG)
        self.wait_step(id)
        self.c.slurm("scancel", str(self.slurm_of(id)["id"]))
        self.wait(id, "CANCELLED", seconds=60)
        self.assertIn("not here", self.job(id)["text"])

    def test_4_a_chain_of_slurm_jobs(self):
        id = self.submit("chain", LONG, slurm=", time_minutes: 1, warn_seconds: 50")
        attempts = self.wait_attempt(id, 3, seconds=300)["attempts"]
        # Slurm may warn up to a minute early: a first attempt may hear it before it has begun.
        self.assertIn("wall_time", [a["reason"] for a in attempts[:2]], self.story(id))
        self.assertLessEqual({a["reason"] for a in attempts[:2]}, {"wall_time", "too_short"})
        self.assertGreater(int(attempts[2]["resumed_step"]), 0)
        ids = {json.loads(self.attempt_file(id, "slurm.json", n).read_text())["id"] for n in (1, 2, 3)}
        self.assertEqual(len(ids), 3)
        self.cli("cancel", id)
        self.wait(id, "CANCELLED", seconds=60)

    def test_5_controller_and_daemon_restarted(self):
        id = self.submit("restarted", 700)
        self.wait_step(id)
        time.sleep(6)  # Slurm 22.05 loses a start that it has not saved yet
        self.c.cluster.kill("slurmctld")
        self.c.stop_daemon(signal.SIGKILL)
        self.c.start_daemon()
        time.sleep(2)
        self.assertIn(self.job(id)["state"], ("RUNNING", "STARTING", "COMPLETED"))
        self.c.cluster.start("slurmctld")
        self.wait(id, "COMPLETED")
        self.assertEqual(self.job(id)["attempt"], 1)
        self.nothing_left()

    def test_6_refused(self):
        id = self.submit("nowhere", slurm=", options: --nodelist=n9")
        self.wait(id, "FAILED")
        self.assertIn("nvalid node name", self.job(id)["text"])

    def test_8_preempted_by_a_higher_tier(self):
        id = self.submit("preempted", LONG)
        self.wait_checkpoint(id)
        first = self.slurm_of(id)["id"]
        self.hog("urgent", 12)
        job = self.wait_attempt(id, 2)
        self.assertEqual(job["attempts"][0]["reason"], "preempted", self.story(id))
        self.assertIn("PREEMPTED", job["attempts"][0]["text"])
        self.assertGreater(int(job["attempts"][1]["resumed_step"]), 0, self.story(id))
        script = self.cli("show", id, "--script")
        self.assertIn("#SBATCH --dependency=afterany:%s\n" % first, script)
        self.assertNotIn("--exclude", script)
        self.cli("cancel", id)
        self.wait(id, "CANCELLED", seconds=60)

    def test_9_a_node_that_fails_is_kept_off(self):
        id = self.submit("lost", LONG, nodes=1)
        self.wait_checkpoint(id)
        bad = self.slurm_of(id)["nodes"]
        self.fail_node(bad)
        self.until(lambda: self.job(id)["attempt"] == 2 or self.job(id)["state"] == "REQUEUED", lambda: self.story(id))
        self.take_back(bad)
        job = self.wait_attempt(id, 2)
        self.assertEqual(job["attempts"][0]["reason"], "node_lost", self.story(id))
        self.assertIn("down: " + bad, job["attempts"][0]["text"])
        self.assertIn("#SBATCH --exclude=%s\n" % bad, self.cli("show", id, "--script"))
        self.assertNotEqual(self.slurm_of(id)["nodes"], bad)
        self.assertGreater(int(job["attempts"][1]["resumed_step"]), 0, self.story(id))
        self.cli("cancel", id)
        self.wait(id, "CANCELLED", seconds=60)

    def test_a_elsewhere_only_where_there_is_a_choice(self):
        id = self.submit("no-choice", LONG)
        self.wait_step(id)
        self.fail_node("n2")
        self.c.slurm("scontrol", "update", "NodeName=n2", "State=DRAIN", "Reason=test")  # else it is back at once
        text = self.wait_explained(id, "DOWN", "sinfo -R", seconds=60)
        self.assertIn("Slurm says", text)
        self.take_back("n2")
        job = self.wait_attempt(id, 2)
        self.assertEqual(job["attempts"][0]["reason"], "node_lost", self.story(id))
        self.assertIn("down: n2", job["attempts"][0]["text"])
        self.assertNotIn("--exclude", self.cli("show", id, "--script"))
        self.cli("cancel", id)
        self.wait(id, "CANCELLED", seconds=60)

    def test_b_explain_and_plan_say_what_slurm_says(self):
        plan = self.cli("plan", self.job_file("planned"))
        self.assertRegex(plan, "to start at [0-9T:-]+ using 2 processors on nodes n\\[1-2\\] in partition main")
        self.hog("main", 600)
        slurm_id = lambda id: self.slurm_of(id)["id"]  # noqa: E731
        first = self.submit("first", LONG)
        self.wait_explained(first, "Resources", "waits until enough nodes are free")
        second = self.submit("second", LONG)  # in Slurm's queue behind the first
        self.assertIn("squeue --start -j " + slurm_id(first), self.cli("explain", first))
        self.wait_explained(second, "Priority")
        self.assertIn("sprio -j " + slurm_id(second), self.cli("explain", second))
        self.c.slurm("scontrol", "uhold", slurm_id(first))
        self.wait_explained(first, "JobHeldUser", "scontrol release " + slurm_id(first))
        self.c.slurm("scontrol", "release", slurm_id(first))
        self.c.slurm("scontrol", "hold", slurm_id(second))
        self.wait_explained(second, "JobHeldAdmin", "operator")
        self.c.slurm("scontrol", "release", slurm_id(second))
        self.c.slurm("scontrol", "update", "JobId=" + slurm_id(second), "StartTime=now+1hour")
        self.wait_explained(second, "BeginTime", "scontrol show job " + slurm_id(second))
        self.c.slurm("scontrol", "update", "PartitionName=main", "State=DOWN")
        self.wait_explained(first, "PartitionDown", "sinfo")
        self.assertIn("PartitionDown", json.loads(self.cli("show", first, "--json"))["slurm"]["reason"])
        self.c.slurm("scontrol", "update", "PartitionName=main", "State=UP")
        for id in (first, second):
            self.cli("cancel", id)
            self.wait(id, "CANCELLED", seconds=30)
        refused = self.cli("plan", self.job_file("planned", slurm=", options: --nodelist=n9"))
        self.assertIn("nvalid node name", refused)

    def test_z_mpirun_in_the_allocation(self):
        self.c.stop_daemon()
        self.c.start_daemon("--slurm-start", "mpirun")
        id = self.submit("by-mpirun")
        self.wait(id, "COMPLETED")
        self.assertIn('"mpirun"', self.attempt_file(id, "command.json").read_text())
        self.assertEqual(self.slurm_of(id)["nodes"], "n[1-2]")


if __name__ == "__main__":
    main()
