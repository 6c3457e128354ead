"""A daemon in front of a real Slurm, and what its tests share."""
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
resources: {{ranks: {ranks}, launcher: slurm{resources}}}
slurm: {{nodes: {nodes}, partition: main{slurm}}}
"""
LONG = 100000


class Cluster:
    def __init__(self, **more):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="espalier-slurm-"))
        self.cluster = cluster.Slurm(self.dir / "c", **more)
        self.plain = dict(self.cluster.env, OPENBLAS_NUM_THREADS="1", ASAN_OPTIONS="detect_leaks=0",
                          ESPALIER_SERVER="unix:%s/home/run/d.sock" % self.dir)
        # What users have in their shells must not matter.
        self.env = dict(self.plain, SQUEUE_FORMAT="%i", SBATCH_PARTITION="nowhere", SLURM_JOB_ID="77",
                        SLURM_TIME_FORMAT="relative", SACCT_FORMAT="jobid", http_proxy="http://127.0.0.1:1",
                        https_proxy="http://127.0.0.1:1")
        subprocess.run([WORKER, "data", "make", "shaperef", "--out", self.dir / "data", "--seed", "5", "--size", "32",
                        "--objects", "2-3", "--train", "60", "--val", "0", "--test", "12", "--expressions", "2"],
                       check=True, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.worker = WORKER
        self.daemon = None

    def start_daemon(self, *more):
        argv = [ESPALIERD, "--home", self.dir / "home", "--listen", "unix:%s/home/run/d.sock" % self.dir,
                "--worker", self.worker, "--stop-term", "2", "--stop-kill", "25", "--slurm-poll", "0.3",
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


class Case(unittest.TestCase):
    SLURM = {}  # what cluster.Slurm() takes

    @classmethod
    def setUpClass(cls):
        cls.c = Cluster(**cls.SLURM)
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

    def job_file(self, name, steps=8, resources="", slurm="", nodes=2, ranks=2):
        path = self.c.dir / (name + ".yaml")
        path.write_text(JOB.format(name=name, steps=steps, resources=resources, slurm=slurm, nodes=nodes,
                                   ranks=ranks))
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


def main(accounting=False):
    reason = cluster.why_not(accounting)
    if reason:
        print("SKIPPED: the tests with a real Slurm did not run: " + reason, file=sys.stderr)
        sys.exit(77)
    unittest.main(verbosity=2, failfast=True)
