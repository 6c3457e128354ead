"""What Validate says beside the file: how long earlier jobs like it took, and what Slurm answers to a test."""
import json
import os
import time

from bed import Case, Daemon, R, main

FILE = """name: '%s'
data: {pretrain: /etc/hostname, task: /etc/hostname, vocabulary: /etc/hostname}
phases: {pretrain: {steps: %d}, task: {steps: %d}}
train: {batch: %d}
resources: {ranks: %d, time_minutes: %d}
"""


def text(pretrain=1000, task=0, batch=16, ranks=1, minutes=0, name="steps=5 report=0 step_ms=60000"):
    return (FILE % (name, pretrain, task, batch, ranks, minutes)).encode()


class Estimate(Case):
    def plan(self, **kw):
        return self.c.call("Validate", job_file=text(**kw), folder="/tmp").plan

    def run_job(self, seconds, **kw):
        """A job whose worker reports how long its phases took."""
        job = self.c.call("Submit", job_file=text(**kw), folder="/tmp", request_id="r%d" % time.monotonic_ns()).id
        path = os.path.join(self.d.folder(job), "attempt.json")
        while not os.path.exists(path):
            time.sleep(0.02)
        with open(path) as f:
            token = json.load(f)["token"]
        records = [R.Record(number=1, hello=R.Hello(host="h"))]
        for phase, took in seconds.items():
            records.append(R.Record(number=len(records) + 1))
            records[-1].phase_done.phase = phase
            records[-1].phase_done.seconds = took
        self.c.report(job_id=job, attempt=1, token=token, records=records)
        self.c.call("Cancel", id=job)
        return job

    def test_unknown_until_a_job_like_it_has_run(self):
        plan = self.plan()
        self.assertEqual((plan.estimate_seconds, plan.estimate_jobs), (0, 0))
        self.assertEqual([(p.phase, p.steps, p.seconds) for p in plan.phases], [("pretrain", 1000, 0)])
        self.run_job({"pretrain": 100, "evaluate": 7})
        plan = self.plan(pretrain=2000)
        self.assertEqual((plan.estimate_seconds, plan.estimate_jobs), (207, 1))
        self.assertEqual([(p.phase, p.seconds) for p in plan.phases], [("pretrain", 200), ("evaluate", 7)])
        self.run_job({"pretrain": 300})  # 1000 steps again, slower
        self.assertEqual((self.plan().estimate_seconds, self.plan().estimate_jobs), (207, 2))
        self.d.restart()
        self.assertEqual(self.plan().estimate_seconds, 207)

    def test_what_could_never_run_here_is_said_before_it_is_submitted(self):
        notes = list(self.plan(ranks=2048, batch=2048).notes)
        self.assertTrue(any(n.startswith("it would be refused here: the job needs 2048 cores (2048 ranks x 1 threads)") for n in notes), notes)
        self.assertFalse(any("refused" in n for n in self.plan().notes))

    def test_another_batch_or_number_of_ranks_is_another_job(self):
        self.run_job({"pretrain": 100})
        self.assertEqual(self.plan(batch=32).estimate_seconds, 0)
        self.assertEqual(self.plan(ranks=2).estimate_seconds, 0)
        self.assertEqual(self.plan(minutes=90).estimate_seconds, 100)

    def test_a_phase_never_seen_is_taken_to_be_like_the_others(self):
        self.run_job({"pretrain": 100})
        plan = self.plan(task=500)
        self.assertEqual([(p.phase, p.seconds) for p in plan.phases], [("pretrain", 100), ("task", 50)])

    def test_a_time_limit_that_is_too_short_is_told(self):
        self.run_job({"pretrain": 600})
        self.assertIn("about 10 minutes, but resources.time_minutes ends it after 5",
                      " ".join(self.plan(minutes=5).notes))
        self.assertNotIn("time_minutes", " ".join(self.plan(minutes=11).notes))

    def test_submit_says_the_same(self):
        self.run_job({"pretrain": 100})
        reply = self.c.call("Submit", job_file=text(), folder="/tmp", request_id="again")
        self.assertEqual(reply.plan.estimate_seconds, 100)

    def test_a_job_that_is_removed_counts_no_more(self):
        job = self.run_job({"pretrain": 100})
        self.d.wait(job, "CANCELLED")
        self.c.call("Remove", id=job)
        self.assertEqual(self.plan().estimate_seconds, 0)


class Cluster(Case):
    def setUp(self):
        self.bin = None
        self.d = Daemon(launcher="slurm")
        self.bin = os.path.join(self.d.dir, "bin")
        os.mkdir(self.bin)
        self.d.options += ["--slurm-bin", self.bin]
        self.d.start()

    def sbatch(self, body):
        path = os.path.join(self.bin, "sbatch")
        with open(path, "w") as f:
            f.write("#!/bin/sh\n%s\n" % body)
        os.chmod(path, 0o755)

    def plan(self, **kw):
        return self.c.call("Validate", job_file=text(**kw), folder="/tmp").plan

    def test_what_slurm_says(self):
        self.sbatch('test "$1" = --test-only && grep -q "SBATCH --ntasks=2" "$2" && '
                    'echo "sbatch: Job 7 to start at 2030-01-01T00:00:00 using 2 processors on nodes n1" >&2')
        self.assertIn("Job 7 to start at 2030-01-01", self.plan(ranks=2).cluster)
        self.assertFalse([n for n in os.listdir(self.d.home) if n.startswith("plan-")])
        self.sbatch("echo 'sbatch: error: Batch job submission failed: Invalid account' >&2; exit 1")
        self.assertIn("Invalid account", self.plan().cluster)

    def test_a_slurm_that_hangs_costs_two_seconds(self):
        self.sbatch("sleep 60")
        began = time.monotonic()
        self.assertIn("unknown: ", self.plan().cluster)
        self.assertLess(time.monotonic() - began, 10)

    def test_no_slurm(self):
        self.assertIn("unknown: cannot run", self.plan().cluster)


if __name__ == "__main__":
    main()
