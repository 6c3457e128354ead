"""A home whose jobs run in a real Slurm of two nodes, for torture.py; its parts are victims too."""
import collections
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "slurm"))
import cluster  # noqa: E402
from harness import Bed  # noqa: E402

PARTS = ("slurmctld", "slurmd", "slurmstepd")


class SlurmBed(Bed):
    def __init__(self, *options):
        super().__init__("--slurm-poll", "0.3", "--slurm-poll-most", "2", *options)
        # Not below the home: what belongs to it is known by its path.
        self.slurm_dir = pathlib.Path(tempfile.mkdtemp(prefix="espalier-c-"))
        self.slurm = cluster.Slurm(self.slurm_dir)
        self.env.update({k: v for k, v in self.slurm.env.items() if k.startswith(("SLURM_", "OMPI_MCA"))})
        self.operated = collections.Counter()

    def submit(self, **kw):
        """A rank whose peer's slurmstepd was killed waits for ever, and neither srun nor Slurm notices: stalls are acted upon."""
        return super().submit(overrides=[("resources.launcher", "slurm"), ("slurm.nodes", 2), ("on_stall", "restart"),
                                         ("stall_minutes", 0.5)], **kw)

    def close(self):
        try:
            super().close()
        finally:
            self.slurm.stop()
            subprocess.run(["rm", "-rf", str(self.slurm_dir)])

    # ---- victims

    def find_part(self, kind, rng):
        """(pid, name) of slurmctld, of one slurmd, of one slurmstepd; None when there is none."""
        if kind == "slurmstepd":
            steps = sorted(self.slurm.steps().items())
            return rng.choice(steps) if steps else None
        part = "slurmctld" if kind == "slurmctld" else "slurmd.n%d" % rng.randint(1, 2)
        return self.slurm.pid(part), part

    def revive(self, part):
        if not part.startswith("slurmstepd"):
            self.slurm.start(part)

    def runs(self, job):
        """Whether a launcher or a rank of the job lives, on any node: all are on this machine."""
        folder = str(self.folder(job))
        return any(arg == folder or arg.startswith(folder + "/") for pid in self.processes() for arg in self.arguments(pid))

    # ---- what an operator of a cluster does after a crash

    def operate(self, jobs):
        """Nodes that Slurm has drained are taken back, jobs that it holds are released. A controller that is killed within seconds
        of a start loses it: what it then cancels itself is retried, and a job that it has forgotten and of which nothing runs
        any more is resolved. How often is counted."""
        for job in jobs:
            got = self.show(job)
            if got["state"] == "CANCELLED" and "cancelled in Slurm" in got["text"]:
                self.cli("retry", job)
                self.operated["job retried that Slurm cancelled"] += 1
            elif got["state"] == "UNREACHABLE" and "Slurm knows no job" in got["text"] and not self.runs(job):
                self.cli("resolve", job, "--as", "requeue")
                self.operated["job resolved that Slurm forgot"] += 1
        try:
            for line in self.slurm.run("sinfo", "-h", "-N", "-p", "main", "-o", "%N %T").splitlines():
                node, state = line.split()
                if state.startswith(("drain", "down")):
                    self.slurm.run("scontrol", "update", "NodeName=" + node, "State=RESUME")
                    self.operated["node resumed"] += 1
            for line in self.slurm.run("squeue", "-h", "-t", "PENDING", "-o", "%A %r").splitlines():
                job, reason = line.split(" ", 1)
                if "held" in reason.lower():
                    self.slurm.run("scontrol", "release", job)
                    self.operated["job released"] += 1
        except subprocess.CalledProcessError:
            self.operated["in vain"] += 1
