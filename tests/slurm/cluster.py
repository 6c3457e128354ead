"""A real Slurm of two nodes on this machine, for tests: munged, slurmctld and two slurmd under one folder."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

HERE = pathlib.Path(__file__).parent
NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel", "unshare")
PACKAGES = "slurmctld slurmd slurm-client munge"
ACCOUNTING = ("slurmdbd", "mariadbd", "sacct", "sacctmgr")
ACCOUNTING_PACKAGES = "slurmdbd mariadb-server-core"


def why_not(accounting=False):
    """Why there can be no Slurm here; None = there can."""
    if os.geteuid() != 0:
        return "needs root: slurmd starts jobs as other accounts"
    for needed, packages in ((NEEDED, PACKAGES), (ACCOUNTING if accounting else (), ACCOUNTING_PACKAGES)):
        missing = [p for p in needed if not shutil.which(p)]
        if missing:
            return "not installed: %s (packages %s)" % (" ".join(missing), packages)
    if subprocess.run(["unshare", "--uts", "--mount", "true"], capture_output=True).returncode:
        return "no namespaces here (unshare --uts --mount)"
    return None


def free_base_port():
    """slurmctld's port, with those of slurmdbd and the nodes above it. Tests side by side look in different places."""
    for base in range(20000 + os.getpid() % 400 * 50, 60000, 50):
        try:
            for port in (base, base + 1, base + 11, base + 12):
                with socket.socket() as s:
                    s.bind(("127.0.0.1", port))
            return base
        except OSError:
            continue
    raise RuntimeError("no free ports")


def is_alive(pid):
    """A zombie nobody waits for is not."""
    try:
        return pathlib.Path("/proc/%d/stat" % pid).read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Slurm:
    """Its parts may be killed and started as often as one likes; stop() ends all of them."""

    def __init__(self, folder, accounting=False, cpus=2):
        self.dir = pathlib.Path(folder)
        self.conf = self.dir / "slurm.conf"
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_"))}
        self.env.update(SLURM_CONF=str(self.conf), OMPI_MCA_btl_tcp_if_include="lo", OMPI_MCA_oob_tcp_if_include="lo")
        subprocess.run([HERE / "start-slurm.sh", self.dir, "2", str(cpus)], check=True,
                       env=dict(self.env, SLURM_TEST_BASE_PORT=str(free_base_port()),
                                SLURM_TEST_ACCOUNTING=str(int(accounting))))

    def stop(self):
        subprocess.run([HERE / "stop-slurm.sh", self.dir], env=self.env)

    def run(self, *argv):
        return subprocess.run(argv, env=self.env, capture_output=True, text=True, check=True).stdout

    def pid(self, part):
        """Of slurmctld, slurmd.n1, slurmd.n2, slurmdbd or mariadbd."""
        return int((self.dir / "run" / (part + ".pid")).read_text())

    def kill(self, part):
        pid = self.pid(part)
        os.kill(pid, signal.SIGKILL)
        while is_alive(pid):
            time.sleep(0.01)

    def start(self, part):
        """Again, after kill()."""
        (self.dir / "run" / (part + ".pid")).unlink(missing_ok=True)
        if part == "slurmctld":
            self.run("slurmctld", "-i", "-f", str(self.conf))
        elif part in ("slurmdbd", "mariadbd"):
            self.run(str(HERE / "start-accounting.sh"), str(self.dir), part)
            return
        else:
            self.run(str(HERE / "start-node.sh"), str(self.dir), part[-1])
        deadline = time.monotonic() + 30
        while not self.has_pid(part):
            assert time.monotonic() < deadline, "%s does not start" % part
            time.sleep(0.02)
        with open(self.dir / "pids", "a") as f:
            f.write("%d\n" % self.pid(part))

    def steps(self):
        """The slurmstepd of all steps: {pid: text}, as they call themselves, slurmstepd: [12.batch]."""
        found = {}
        for entry in os.listdir("/proc"):
            try:
                title = pathlib.Path("/proc/%s/cmdline" % entry).read_bytes() if entry.isdigit() else b""
                if title.startswith(b"slurmstepd") and str(self.dir) in " ".join(
                        os.readlink(f) for f in pathlib.Path("/proc/%s/fd" % entry).iterdir()):
                    found[int(entry)] = title.split(b"\0")[0].decode()
            except OSError:
                continue
        return found

    def has_pid(self, part):
        try:
            return is_alive(self.pid(part))
        except (FileNotFoundError, ValueError):
            return False
