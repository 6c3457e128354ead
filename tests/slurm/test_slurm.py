"""Jobs through a real Slurm: client -> daemon -> sbatch -> two ranks on two nodes, and what may go wrong on the way."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import cluster

ESPALIER, ESPALIERD, WORKER = (os.environ[k] for k in ("ESPALIER", "ESPALIERD", "WORKER"))

JOB = """\
name: {name}
model: {{size: tiny, image: 32, width: 32, heads: 2, ffn: 64, vision_layers: 2, text_layers: 2, fusion_width: 32,
        fusion_heads: 2, fusion_ffn: 64, encoder_layers: 1, decoder_layers: 2, queries: 6, contrast: 16}}
data: {{pretrain: data/train_captions.json, task: data/train_rec.json, eval: data/test_rec.json,
       vocabulary: data/vocabulary.txt, holdout: 0.2}}
train: {{batch: 8, seed: 3, clip: 1.0, log_every: 2, checkpoint_every: 4}}
phases:
  task: {{steps: {steps}, warmup_steps: 2}}
  search: {{steps: 30, warmup_steps: 2, schedule: constant}}
  finetune: {{steps: 4, warmup_steps: 2}}
method: {{target: 0.8, every: 2, block_size: 2}}
resources: {{ranks: 2, launcher: slurm{resources}}}
slurm: {{nodes: {nodes}, partition: main{slurm}}}
"""
LONG = 100000


class Cluster:
    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="espalier-slurm-"))
        self.cluster = cluster.Slurm(self.dir / "c")
        self.plain = dict(self.cluster.env, OPENBLAS_NUM_THREADS="1", ASAN_OPTIONS="detect_leaks=0",
                          ESPALIER_SERVER="unix:%s/home/run/d.sock" % self.dir)
        # What users have in their shells must not matter.
        self.env = dict(self.plain, SQUEUE_FORMAT="%i", SBATCH_PARTITION="nowhere", SLURM_JOB_ID="77",
                        SLURM_TIME_FORMAT="relative", SACCT_FORMAT="jobid", http_proxy="http://127.0.0.1:1",
                        https_proxy="http://127.0.0.1:1")
        subprocess.run([WORKER, "data", "make", "shaperef", "--out", self.dir / "data", "--seed", "5", "--size", "32",
                        "--objects", "2-3", "--train", "60", "--val", "0", "--test", "12", "--expressions", "2"],
                       check=True, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.daemon = None

    def start_daemon(self, *more):
        argv = [ESPALIERD, "--home", self.dir / "home", "--listen", "unix:%s/home/run/d.sock" % self.dir,
                "--worker", WORKER, "--stop-term", "2", "--stop-kill", "25", "--slurm-poll", "0.3",
                "--slurm-poll-most", "2", *more]
        with open(self.dir / "daemon.log", "a") as log:
            self.daemon = subprocess.Popen(argv, env=self.env, stdout=subprocess.PIPE, stderr=log, text=True)
        line = self.daemon.stdout.readline()
        assert "listening" in line, (self.dir / "daemon.log").read_text()

    def stop_daemon(self, sig=signal.SIGTERM):
        self.daemon.send_signal(sig)
        self.daemon.communicate(timeout=30)
        self.daemon = None

    def close(self):
        if self.daemon:
            self.stop_daemon()
        self.cluster.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def slurm(self, *argv):
        return self.cluster.run(*argv)


class SlurmTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.c = Cluster()
        cls.c.start_daemon()

    @classmethod
    def tearDownClass(cls):
        cls.c.close()

    def tearDown(self):
        """What one test leaves must not hold up the next."""
        subprocess.run(["scancel", "--user=root"], env=self.c.plain, capture_output=True)

    def cli(self, *argv, code=0):
        done = subprocess.run([ESPALIER, *argv], env=self.c.env, cwd=self.c.dir, capture_output=True, text=True,
                              timeout=120)
        self.assertEqual(done.returncode, code, "%s\n%s\n%s" % (argv, done.stdout, done.stderr))
        return done.stdout

    def job_file(self, name, steps=8, resources="", slurm="", nodes=2):
        path = self.c.dir / (name + ".yaml")
        path.write_text(JOB.format(name=name, steps=steps, resources=resources, slurm=slurm, nodes=nodes))
        return str(path)

    def submit(self, *args, **kw):
        return self.cli("submit", self.job_file(*args, **kw)).strip()

    def job(self, id):
        return json.loads(self.cli("show", id, "--json"))

    def story(self, id):
        log = self.c.dir / "home" / "jobs" / id / "log.txt"
        return "%s\n%s\n%s" % (self.job(id), (self.c.dir / "daemon.log").read_text()[-3000:],
                               log.read_text()[-3000:] if log.exists() else "no log")

    def wait(self, id, *states, seconds=120):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            state = self.job(id)["state"]
            if state in states:
                return state
            if state in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT"):
                break
            time.sleep(0.2)
        self.fail("job %s did not become %s: %s" % (id, states, self.story(id)))

    def until(self, found, what, seconds=120):
        """What found() returns, once that is something."""
        deadline = time.monotonic() + seconds
        while not (got := found()):
            if time.monotonic() > deadline:
                self.fail(what() if callable(what) else what)
            time.sleep(0.1)
        return got

    def wait_step(self, id):
        self.until(lambda: (self.job(id).get("progress") or {}).get("total_step", 0) > 4,
                   lambda: "no step: " + self.story(id))

    def wait_checkpoint(self, id):
        self.until(lambda: list((self.c.dir / "home" / "jobs" / id / "checkpoints").glob("step-*.safetensors")),
                   lambda: "no checkpoint: " + self.story(id))

    def wait_attempt(self, id, attempt, seconds=120):
        """The job, once that attempt or a later one runs and has said where; notes on what it resumes from come before that.
        A later one: what starts on a node just as it is taken away is lost with it."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            job = self.job(id)
            if job["attempt"] >= attempt and job["state"] == "RUNNING" and job["attempts"][-1]["host"]:
                return job
            time.sleep(0.2)
        self.fail("no attempt %d: %s" % (attempt, self.story(id)))

    def wait_explained(self, id, *words, seconds=30):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            text = self.cli("explain", id)
            if all(w in text for w in words):
                return text
            time.sleep(0.2)
        self.fail("explain does not say %s: %s\n%s" % (words, text, self.story(id)))

    def hog(self, partition, seconds):
        """A job that has both nodes."""
        return self.c.slurm("sbatch", "--parsable", "--partition=" + partition, "--nodes=2", "--exclusive",
                            "--output=/dev/null", "--wrap", "sleep %d" % seconds).strip()

    def fail_node(self, node):
        self.c.slurm("scontrol", "update", "NodeName=" + node, "State=DOWN", "Reason=test")

    def take_back(self, node):
        """Slurm itself does it too, when the node registers (ReturnToService=2); then it refuses this."""
        subprocess.run(["scontrol", "update", "NodeName=" + node, "State=RESUME"], env=self.c.plain, capture_output=True)
        self.until(lambda: self.c.slurm("sinfo", "-h", "-p", "main", "-n", node, "-o",
                                        "%T").startswith(("idle", "mix", "alloc")),
                   lambda: "node %s stays %s" % (node, self.c.slurm("sinfo", "-h", "-n", node, "-o", "%T")))

    def slurm_of(self, id):
        return self.job(id)["slurm"] or {}

    def attempt_file(self, id, name, attempt=1):
        return self.c.dir / "home" / "jobs" / id / "attempts" / str(attempt) / name

    def nothing_left(self):
        left = lambda: self.c.slurm("squeue", "--noheader", "--format=%A %T")  # noqa: E731
        self.until(lambda: not left(), lambda: "left in Slurm: " + left())

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
    reason = cluster.why_not()
    if reason:
        print("SKIPPED: the tests with a real Slurm did not run: " + reason, file=sys.stderr)
        sys.exit(77)
    unittest.main(verbosity=2, failfast=True)
