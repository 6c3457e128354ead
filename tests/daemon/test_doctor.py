"""Every fault that `espalierd doctor` and `espalier doctor` know is provoked here and must be named with its remedy."""
import atexit
import fcntl
import json
import os
import pty
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

ESPALIERD, ESPALIER, WORKER = (os.environ[k] for k in ("ESPALIERD", "ESPALIER", "WORKER"))
VERSION = subprocess.run([ESPALIER, "version"], capture_output=True, text=True).stdout.split()[1]


def probe(**fields):
    """A line of `espalier-worker probe`, in a shell's double quotes; the clock is the shell's."""
    said = {"rank": 0, "ranks": 2, "host": "h", "version": VERSION, "cpus": 8, "gpus": 0, "home": "ok", "report": "ok"}
    said.update(fields)
    text = json.dumps(said)[:-1].replace('"', '\\"')
    return 'echo "%s, \\"time_ms\\": $(( $(date +%%s%%3N) + %d ))}"' % (text, fields.get("off_ms", 0))


class Bed(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="espalier-doc-")
        atexit.register(shutil.rmtree, self.dir, ignore_errors=True)  # whatever fails before its own removal
        self.bin = self.path("bin")
        os.mkdir(self.bin)
        self.env = {k: v for k, v in os.environ.items()
                    if not k.lower().endswith("_proxy") and not k.startswith(("SLURM", "OMPI_")) and k != "TMPDIR"}
        self.env["PATH"] = self.bin + ":/usr/bin:/bin"
        self.env["ASAN_OPTIONS"] = "detect_leaks=0"
        self.script("sbatch", "exit 127")  # no Slurm of this machine
        os.makedirs(self.path("home/jobs"), 0o700)  # as the daemon leaves it
        os.chmod(self.path("home"), 0o700)
        # A worker and an mpirun that are well, and quick.
        self.worker = self.script("worker", "case $1 in --version) echo espalier-worker %s;; *) %s; esac"
                                  % (VERSION, probe()))
        self.mpirun = self.script("mpirun", "\n".join([probe(rank=0), probe(rank=1)]))

    def tearDown(self):
        shutil.rmtree(self.dir)

    def path(self, name):
        return os.path.join(self.dir, name)

    def script(self, name, body):
        path = os.path.join(self.bin, name)
        with open(path, "w") as f:
            f.write("#!/bin/sh\n%s\n" % body)
        os.chmod(path, 0o755)
        return path

    def examine(self, *options, worker=None, mpirun=None):
        argv = [ESPALIERD, "doctor", "--json", "--home", self.path("home"), "--listen", "unix:" + self.path("s/sock"),
                "--worker", worker or self.worker, "--mpirun", mpirun or self.mpirun, *options]
        done = subprocess.run(argv, env=self.env, capture_output=True, text=True, timeout=120)
        self.assertIn(done.returncode, (0, 23), done.stderr)
        self.assertNotIn("Sanitizer", done.stderr)
        checks = json.loads(done.stdout)["checks"]
        self.assertEqual(done.returncode == 23, any(c["result"] == "FAULT" for c in checks), checks)
        return checks

    def found(self, checks, name, result, text, remedy=""):
        for c in checks:
            if c["name"] == name and c["result"] == result and text in c["text"] and remedy in c["remedy"]:
                return
        self.fail("no %s %s with '%s' and '%s' in\n%s" % (result, name, text, remedy, json.dumps(checks, indent=1)))


class Host(Bed):
    def test_all_is_well(self):
        checks = self.examine()
        self.assertEqual([c for c in checks if c["result"] in ("FAULT", "WARNING")], [])
        self.assertGreaterEqual({c["name"] for c in checks},
                                {"proxy", "temp folder", "home", "socket", "disk", "store", "worker", "mpi", "gpus", "bf16"})

    def test_in_a_terminal_it_is_as_wide_as_that(self):
        os.chmod(self.path("home"), 0o755)  # a finding with a remedy
        inner, outer = pty.openpty()
        fcntl.ioctl(outer, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
        argv = [ESPALIERD, "doctor", "--home", self.path("home"), "--listen", "unix:" + self.path("s/sock"),
                "--worker", self.worker, "--mpirun", self.mpirun]
        process = subprocess.Popen(argv, env={**self.env, "TERM": "dumb"}, stdout=outer, stderr=subprocess.DEVNULL)
        os.close(outer)
        said = b""
        try:
            while part := os.read(inner, 65536):
                said += part
        except OSError:  # the other end is closed
            pass
        os.close(inner)
        process.wait(60)
        lines = said.decode().splitlines()
        self.assertIn("what helps: ", said.decode())
        self.assertGreater(sum(line.startswith(" " * 23) for line in lines), 2, lines)
        words = [line for line in lines if len(line) > 60 and " " in line[23:].removeprefix("what helps: ").strip()]
        self.assertEqual(words, [])  # but for words that are longer than that

    def test_a_proxy(self):
        self.env["https_proxy"] = "http://proxy.example:3128"
        self.found(self.examine(), "proxy", "WARNING", "https_proxy is 'http://proxy.example:3128'", "no_proxy")

    def test_no_temp_folder(self):
        self.env["TMPDIR"] = self.path("nowhere")
        self.found(self.examine(), "temp folder", "FAULT", "nowhere", "mkdir -p")

    def test_folders_that_others_may_enter(self):
        os.chmod(self.path("home"), 0o755)
        os.mkdir(self.path("s"), 0o755)
        os.chmod(self.path("s"), 0o711)
        checks = self.examine()
        self.found(checks, "home", "FAULT", "open to others (mode 755)", "chmod 700 " + self.path("home"))
        self.found(checks, "socket", "FAULT", "open to others (mode 711)", "chmod 700 " + self.path("s"))

    @unittest.skipUnless(os.geteuid() == 0, "needs root to give a folder away")
    def test_a_folder_of_somebody_else(self):
        os.chown(self.path("home"), 12345, -1)
        self.found(self.examine(), "home", "FAULT", "belongs to account 12345", "chown")

    def test_a_full_disk(self):
        home = self.path("home")
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "none", home], capture_output=True).returncode:
            self.skipTest("cannot mount a small file system here")
        try:
            self.found(self.examine(), "disk", "FAULT", " MiB and room for", "free space")
        finally:
            subprocess.run(["umount", home], check=True)

    def test_no_worker(self):
        self.found(self.examine(worker=self.path("gone")), "worker", "FAULT", "cannot run", "--worker PATH")

    def test_a_worker_that_does_not_start(self):
        broken = self.script("broken", "echo libmpi.so.40: cannot open >&2; exit 127")
        self.found(self.examine(worker=broken), "worker", "FAULT", "libmpi.so.40", "ldd")

    def test_a_worker_of_another_version(self):
        old = self.script("old", "echo espalier-worker 0.0.1")
        self.found(self.examine(worker=old), "worker", "WARNING", "'espalier-worker 0.0.1'", "same version")


class Mpi(Bed):
    def test_no_mpirun(self):
        self.found(self.examine(mpirun="no-such-mpirun"), "mpi", "FAULT", "there is no no-such-mpirun", "openmpi-bin")

    def test_an_mpirun_that_fails(self):
        bad = self.script("bad", "echo '-----'; echo no slots here; exit 3")
        self.found(self.examine(mpirun=bad), "mpi", "FAULT", "ended with code 3: no slots here", "by hand")

    def test_two_mpis(self):
        alone = self.script("alone", "\n".join([probe(ranks=1), probe(ranks=1)]))
        self.found(self.examine(mpirun=alone), "mpi", "FAULT", "each believes that it is alone", "ldd")

    def test_gpus_that_ranks_do_not_see(self):
        self.found(self.examine("--gpus", "2"), "gpus", "FAULT", "told of 2 GPUs here, but rank 0 sees 0", "nvidia-smi")

    def test_a_processor_without_bf16(self):
        for has, result, text in ((True, "OK", "can run train.precision: bf16"), (False, "SKIPPED", "train.precision: f32")):
            some = self.script("bf16", "\n".join([probe(rank=0, bf16=has), probe(rank=1, bf16=has)]))
            self.found(self.examine(mpirun=some), "bf16", result, text)

    def test_gpus_that_nobody_hands_out(self):
        some = self.script("some", "\n".join([probe(rank=0, gpus=4), probe(rank=1, gpus=4)]))
        self.found(self.examine(mpirun=some), "gpus", "WARNING", "ranks see 4 GPUs, but the daemon hands out 0", "gpus: 4")

    @unittest.skipUnless(shutil.which("mpirun", path="/usr/bin:/bin"), "no mpirun on this machine")
    def test_the_real_ones(self):
        self.env["OMPI_ALLOW_RUN_AS_ROOT"] = self.env["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1"
        checks = self.examine(worker=WORKER, mpirun="/usr/bin/mpirun")
        self.found(checks, "mpi", "OK", "mpirun starts 2 ranks")
        self.found(checks, "worker", "OK", VERSION)


class Nodes(Bed):
    def node(self, body, *more):
        """One other node, which the remote shell reaches by this script."""
        agent = self.script("agent", 'host=$1; shift\n' + body)
        return self.examine("--nodes", "{host: far, cores: 4}", "--remote-shell", agent, *more)

    def test_a_good_node(self):
        checks = self.node('exec "$@"')
        self.found(checks, "node", "OK", "far: 8 cores")
        self.found(checks, "way back", "WARNING", "other nodes cannot reach", "rank 0")

    def test_a_node_beside_this_one_reports_from_here(self):
        self.found(self.node('exec "$@"', "--nodes", "{host: localhost, cores: 1}"), "way back", "OK", "from here")

    def test_a_node_that_cannot_be_reached(self):
        self.found(self.node("echo ssh: connect to host far: No route to host >&2; exit 255"), "node", "FAULT",
                   "far cannot be reached: ssh: connect to host far: No route", "agent far true")

    def test_a_node_without_the_worker(self):
        self.found(self.node("echo sh: worker: not found; exit 127"), "node", "FAULT", "far has no", "same path")

    def test_a_node_with_an_older_worker(self):
        self.found(self.node(probe(version="0.0.1")), "node", "FAULT", "far has espalier-worker 0.0.1", "all nodes")

    def test_a_node_without_the_home(self):
        self.found(self.node(probe(home="No such file or directory")), "node", "FAULT", "does not have the daemon's home",
                   "share")

    def test_a_node_whose_clock_is_off(self):
        self.found(self.node(probe(off_ms=600000)), "node", "WARNING", "the clock of far is off by", "NTP")

    def test_a_node_with_fewer_cores(self):
        self.found(self.node(probe(cpus=2)), "node", "FAULT", "configured with 4 cores", "correct nodes")


class Slurm(Bed):
    def cluster(self, **broken):
        """Slurm's commands, all well but for those given."""
        good = {"sbatch": "echo slurm 22.05", "scontrol": "echo 'Slurmctld(primary) at head is UP'",
                "munge": "echo MUNGE:xyz", "srun": 'case "$*" in *--mpi=list*) echo pmix_v4;; *) %s;; esac' % probe()}
        good.update(broken)
        for name, body in good.items():
            self.script(name, body)
        return self.examine("--launcher", "slurm")

    def test_a_good_cluster(self):
        checks = self.cluster()
        for name in ("munge", "srun", "slurmctld", "way back"):
            self.found(checks, name, "OK", "")

    def test_no_slurm_where_it_is_wanted(self):
        os.remove(os.path.join(self.bin, "sbatch"))
        self.env["PATH"] = self.bin + ":" + self.path("empty")
        for tool in ("sh", "date"):
            os.symlink(shutil.which(tool, path="/usr/bin:/bin"), os.path.join(self.bin, tool))
        self.found(self.examine("--launcher", "slurm"), "slurm", "FAULT", "launcher is slurm, but cannot run sbatch",
                   "slurm.bin")

    def test_munge_is_down(self):
        self.found(self.cluster(munge="echo munge: Error: Failed to access socket >&2; exit 6"), "munge", "FAULT",
                   "Failed to access socket", "systemctl start munge")

    def test_munge_listens_where_slurm_says(self):
        ctl = 'case $1 in ping) echo "Slurmctld(primary) at head is UP";; *) echo "AuthInfo = socket=/other/munge,ttl=5";; esac'
        self.found(self.cluster(scontrol=ctl, munge='test "$3" = /other/munge && echo MUNGE:x'), "munge", "OK", "")

    def test_the_controller_is_down(self):
        self.found(self.cluster(scontrol="echo 'Slurmctld(primary) at head is DOWN'; exit 1"), "slurmctld", "FAULT",
                   "head is DOWN", "SLURM_CONF")

    def test_no_pmix(self):
        self.found(self.cluster(srun='case "$*" in *--mpi=list*) echo none pmi2;; *) %s;; esac' % probe()), "srun",
                   "WARNING", "no PMIx plugin", "slurm.start")

    def test_no_way_back(self):
        self.found(self.cluster(srun='case "$*" in *--mpi=list*) echo pmix;; *) %s;; esac'
                                % probe(report="No such file or directory")), "way back", "WARNING",
                   "ranks cannot report to unix:", "nothing is lost")

    def test_a_compute_node_without_the_home(self):
        self.found(self.cluster(srun='case "$*" in *--mpi=list*) echo pmix;; *) %s;; esac' % probe(home="No such file")),
                   "compute node", "FAULT", "does not have the home", "all nodes have")

    def test_a_cluster_that_is_full(self):
        self.found(self.cluster(srun='case "$*" in *--mpi=list*) echo pmix;; *) echo srun: Unable to allocate; exit 1;; esac'),
                   "compute node", "WARNING", "Unable to allocate", "try again later")


class Client(Bed):
    def doctor(self, server):
        done = subprocess.run([ESPALIER, "doctor", "--json", "--server", server], env=self.env, capture_output=True,
                              text=True, timeout=120)
        return done.returncode, json.loads(done.stdout)["checks"], done.stderr

    def test_no_daemon(self):
        code, checks, _ = self.doctor("unix:" + self.path("none"))
        self.assertEqual(code, 23)
        self.found(checks, "daemon", "FAULT", "cannot reach espalierd at unix:", "espalierd doctor")

    def test_through_the_daemon(self):
        listen = "unix:" + self.path("s/sock")
        daemon = subprocess.Popen([ESPALIERD, "--home", self.path("home"), "--listen", listen, "--worker", self.worker,
                                   "--mpirun", self.mpirun, "--gpus", "1"], env=self.env, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL)
        try:
            daemon.stdout.readline()
            code, checks, _ = self.doctor(listen)
            self.assertEqual(code, 23)
            self.found(checks, "daemon", "OK", "espalierd %s answers" % VERSION)
            self.found(checks, "clock", "OK", "agree")
            self.found(checks, "gpus", "FAULT", "told of 1 GPUs")  # with the daemon's own options
            # It may be ended while a program of the doctor hangs.
            self.script("mpirun", "sleep 100")
            hangs = subprocess.Popen([ESPALIER, "doctor", "--server", listen], env=self.env, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.PIPE)
            time.sleep(1)
            second = subprocess.run([ESPALIER, "doctor", "--server", listen], env=self.env, capture_output=True, text=True)
            self.assertIn("being examined already", second.stderr)
            pinged = time.monotonic()
            subprocess.run([ESPALIER, "ping", "--server", listen], env=self.env, check=True, capture_output=True)
            self.assertLess(time.monotonic() - pinged, 5)  # the loop does not wait for it
            daemon.send_signal(signal.SIGTERM)
            self.assertEqual(daemon.wait(30), 0)
            hangs.communicate(timeout=30)
        finally:
            if daemon.poll() is None:
                daemon.kill()
                daemon.wait()
            daemon.stdout.close()

    def test_clocks_that_differ(self):
        try:
            import concurrent.futures
            import grpc
        except ImportError:
            self.skipTest("this Python has no grpcio")
        gen = self.path("gen")
        os.mkdir(gen)
        subprocess.run([os.environ["PROTOC"], "-I", os.environ["PROTO_DIR"], "--python_out", gen, "espalier/v1/job.proto"],
                       check=True)
        sys.path.insert(0, gen)
        from espalier.v1 import job_pb2 as J
        sys.path.remove(gen)

        class Handler(grpc.GenericRpcHandler):
            def service(self, details):
                reply = {"Ping": J.PingReply(version="0.0.1"),
                         "Diagnose": J.DiagnoseReply(time_ms=int(time.time() * 1000) + 3600000)}[details.method.split("/")[-1]]
                return grpc.unary_unary_rpc_method_handler(lambda request, context: reply,
                                                           response_serializer=lambda r: r.SerializeToString())
        server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
        server.add_generic_rpc_handlers((Handler(),))
        address = "unix:" + self.path("stub")
        server.add_insecure_port(address)
        server.start()
        code, checks, _ = self.doctor(address)
        server.stop(None)
        self.assertEqual(code, 23)
        self.found(checks, "clock", "FAULT", "behind of the daemon's", "NTP")
        self.found(checks, "daemon", "WARNING", "espalierd 0.0.1 answers", "same version")


if __name__ == "__main__":
    unittest.main(verbosity=2)
