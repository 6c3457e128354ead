"""Jobs of the real worker over several nodes: daemon, mpirun, orted and MPI's own traffic are real. A node is this machine
reached by a remote shell that runs its command here, or, where that is allowed, a network namespace."""
import json
import os
import signal
import subprocess
import time
import unittest

from bed import Case, Daemon, main

WORKER = os.environ["WORKER"]
JOB = """name: spans nodes
model: {size: tiny, image: 32, width: 32, heads: 2, ffn: 64, vision_layers: 2, text_layers: 2, fusion_width: 32,
        fusion_heads: 2, fusion_ffn: 64, encoder_layers: 1, decoder_layers: 2, queries: 6, contrast: 16, dropout: 0.1}
data: {pretrain: train_captions.json, vocabulary: vocabulary.txt}
train: {batch: 8, log_every: 2, checkpoint_every: 4}
phases: {pretrain: {steps: %d, warmup_steps: 2}}
resources: {ranks: 2}
"""


class Span(Case):
    """Rank 0 beside the daemon, rank 1 on the other node."""
    HOST, ARGUMENTS = "espalier-far", ()

    def agent(self):
        return 'host=$1; shift; TMPDIR=%s/far; export TMPDIR; mkdir -p $TMPDIR; exec /bin/sh -c "$*"' % self.d.dir

    def setUp(self):
        self.d = Daemon(launcher="mpirun")
        path = os.path.join(self.d.dir, "agent")
        with open(path, "w") as f:
            f.write("#!/bin/sh\necho $1 >> %s/asked\n%s\n" % (self.d.dir, self.agent()))
        os.chmod(path, 0o755)
        options = ["--nodes", "{host: localhost, cores: 1}", "--nodes", "{host: %s, cores: 1}" % self.HOST,
                   "--remote-shell", path, "--worker", WORKER]
        for argument in self.ARGUMENTS:
            options.append("--mpirun-arguments=" + argument)
        self.d.options += options
        os.environ["ASAN_OPTIONS"] = "detect_leaks=0"
        self.d.start()
        self.data = os.path.join(self.d.dir, "data")
        subprocess.run([WORKER, "data", "make", "shaperef", "--out", self.data, "--seed", "5", "--size", "32", "--objects",
                        "2-3", "--train", "60", "--val", "0", "--test", "12", "--expressions", "2"], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def submit(self, steps):
        return self.c.call("Submit", job_file=(JOB % steps).encode(), folder=self.data,
                           request_id="r%d" % time.monotonic_ns()).id

    def log(self, job):
        with open(os.path.join(self.d.folder(job), "log.txt"), errors="replace") as f:
            return f.read()

    def ended(self, job):
        got = self.d.wait(job, "COMPLETED", "FAILED")
        self.assertEqual(got.text, "", self.log(job))
        return got

    def ranks(self, job):
        """pid of each rank, by the variable that every rank carries."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/environ" % pid, "rb") as f:
                    env = dict(v.split(b"=", 1) for v in f.read().split(b"\0") if b"=" in v)
                with open("/proc/%s/cmdline" % pid, "rb") as f:
                    worker = f.read().startswith(WORKER.encode() + b"\0run\0")
            except OSError:
                continue
            home = ("%s/attempts/" % self.d.folder(job)).encode()
            if worker and env.get(b"ESPALIER_ATTEMPT", b"").startswith(home):
                found[int(env[b"OMPI_COMM_WORLD_RANK"])] = int(pid)
        return found

    def test_a_job_over_two_nodes(self):
        job = self.submit(12)
        got = self.ended(job)
        self.assertEqual([p.host for p in got.places], ["localhost", self.HOST])
        self.assertEqual([list(p.cores) for p in got.places], [[0], [0]])
        self.assertIn("rank 0 on", self.log(job))
        self.assertIn("rank 1 on", self.log(job))
        with open(os.path.join(self.d.dir, "asked")) as f:
            self.assertEqual(set(f.read().split()), {self.HOST})

    def test_a_rank_that_dies_there(self):
        job = self.submit(60)
        deadline = time.monotonic() + 60
        while self.d.get(job).progress.total_step < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(self.ranks(job)[1], signal.SIGKILL)
        self.d.wait(job, "REQUEUED", "SUBMITTED", "STARTING")
        self.assertEqual(self.ranks(job), {})  # none is left on any node when the next attempt may start
        self.assertEqual(self.ended(job).attempt, 2)


def namespace_allowed():
    name = "espalier-try-%d" % os.getpid()
    if os.geteuid() != 0 or subprocess.run(["ip", "netns", "add", name], stderr=subprocess.DEVNULL).returncode != 0:
        return False
    subprocess.run(["ip", "netns", "del", name], check=True)
    return True


@unittest.skipUnless(os.path.exists("/usr/sbin/ip") and namespace_allowed(), "no network namespaces here (needs root)")
class Namespace(Span):
    """The other node has its own network, joined to this one by a cable of two ends."""
    HOST = "10.213.7.2"
    ARGUMENTS = ("--mca", "oob_tcp_if_include", "10.213.7.0/24", "--mca", "btl_tcp_if_include", "10.213.7.0/24")
    NAME = "espalier-%d" % os.getpid()

    @classmethod
    def ip(cls, command):
        subprocess.run(["ip", *command.split()], check=True)

    @classmethod
    def setUpClass(cls):
        end = "esp%d" % (os.getpid() % 100000)
        cls.ip("netns add " + cls.NAME)
        cls.addClassCleanup(cls.ip, "netns del " + cls.NAME)  # takes the cable with it
        cls.ip("link add %sa type veth peer name %sb netns %s" % (end, end, cls.NAME))
        cls.ip("addr add 10.213.7.1/24 dev %sa" % end)
        cls.ip("link set %sa up" % end)
        cls.ip("-n %s addr add 10.213.7.2/24 dev %sb" % (cls.NAME, end))
        cls.ip("-n %s link set %sb up" % (cls.NAME, end))
        cls.ip("-n %s link set lo up" % cls.NAME)

    def agent(self):
        return ('shift; TMPDIR=%s/far; export TMPDIR; mkdir -p $TMPDIR; exec ip netns exec %s /bin/sh -c "$*"'
                % (self.d.dir, self.NAME))


if __name__ == "__main__":
    main()
