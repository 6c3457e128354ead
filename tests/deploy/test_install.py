"""`cmake --install` into a folder, and the Debian package: what is in them, and that it runs from there."""
import glob
import os
import shutil
import subprocess
import tempfile
import unittest

from deploytest import BUILD, SOURCE, Daemon, have, main, run, skip

FILES = ("bin/espalier", "bin/espalierd", "bin/espalier-launcher", "bin/espalier-worker", "lib/systemd/system/espalierd.service",
         "share/systemd/user/espalierd.service", "lib/sysusers.d/espalier.conf", "share/man/man1/espalier.1",
         "share/man/man1/espalier-worker.1", "share/man/man5/espalier-job-file.5", "share/man/man8/espalierd.8",
         "share/bash-completion/completions/espalier", "share/bash-completion/completions/espalierd",
         "share/zsh/vendor-completions/_espalier", "share/doc/espalier/espalierd.yaml", "share/doc/espalier/copyright", "share/doc/espalier/alerts.yml",
         "share/doc/espalier/examples/demo.yaml", "share/espalier/proto/espalier/v1/job.proto")


class Tree(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="espalier-install-")

    def tearDown(self):
        shutil.rmtree(self.dir)

    def check_files(self, prefix):
        for name in FILES:
            self.assertTrue(os.path.isfile(os.path.join(prefix, name)), name)

    def check_runs(self, bin_dir, **where):
        """A daemon, a job through it, the worker, the completions' own question."""
        d = Daemon(bin_dir, **where).start()
        try:
            job = d.submit("steps=3 step_ms=1", self.dir)
            waited = d.client("wait", job)
            self.assertEqual(waited.returncode, 0, waited.stderr)
            self.assertEqual(d.client("jobs", "--ids").stdout, job + "\n")
            worker = run(*d.program("espalier-worker", "--version"))
            self.assertEqual((worker.returncode, worker.stdout.split()[0]), (0, "espalier-worker"), worker.stderr)
            made = d.client("data", "make", "shaperef", "--out", d.dir + "/set", "--train", "2", "--val", "0", "--test", "0",
                            "--quiet")
            self.assertEqual(made.returncode, 0, made.stderr)  # the client finds the worker beside itself
        finally:
            d.end()

    def check_unit(self, prefix, programs):
        unit = os.path.join(prefix, "lib/systemd/system/espalierd.service")
        with open(unit) as f:
            text = f.read()
        self.assertIn("\nExecStart=%s/espalierd\n" % programs, text)
        for line in ("Type=notify", "KillMode=process", "OOMPolicy=continue", "RuntimeDirectoryPreserve=yes"):
            self.assertIn("\n%s\n" % line, text)
        self.assertNotIn("\nProtectClock=", text)  # would close GPUs
        if not have("systemd-analyze", "systemd"):
            return
        scored = run("systemd-analyze", "security", "--offline=true", "--threshold=30", unit)
        self.assertEqual(scored.returncode, 0, scored.stdout[-400:] + scored.stderr)
        verified = run("systemd-analyze", "verify", "--man=no", unit)
        faults = [line for line in verified.stderr.splitlines() if "espalierd.service" in line and "not executable" not in line]
        self.assertEqual(faults, [])

    def test_destdir(self):
        got = run("cmake", "--install", BUILD, "--prefix", "/opt/espalier", env={**os.environ, "DESTDIR": self.dir})
        self.assertEqual(got.returncode, 0, got.stderr)
        prefix = self.dir + "/opt/espalier"
        self.check_files(prefix)
        self.check_unit(prefix, "/opt/espalier/bin")
        self.check_runs(prefix + "/bin")
        self.assertEqual(os.listdir(self.dir + "/opt"), ["espalier"])  # nothing beside the prefix

    def test_prefix(self):
        prefix = self.dir + "/.local"
        got = run("cmake", "--install", BUILD, "--prefix", prefix)
        self.assertEqual(got.returncode, 0, got.stderr)
        with open(prefix + "/share/systemd/user/espalierd.service") as f:
            self.assertIn("\nExecStart=%s/bin/espalierd\n" % prefix, f.read())

    # ---- the package

    def build_package(self):
        for program, package in (("cpack", "cmake"), ("dpkg-shlibdeps", "dpkg-dev")):
            if not have(program, package):
                self.skipTest("no package without " + program)
        got = run("cpack", "-G", "DEB", "--config", BUILD + "/CPackConfig.cmake", "-B", self.dir + "/pack")
        self.assertEqual(got.returncode, 0, got.stdout + got.stderr)
        package, = glob.glob(self.dir + "/pack/*.deb")
        return package

    def check_package(self, package):
        fields = run("dpkg-deb", "-f", package).stdout
        for part in ("Package: espalier\n", "libgrpc", "libsqlite3-0", "libmicrohttpd", "libcurl4", "libopenmpi3", "openmpi-bin"):
            self.assertIn(part, fields)
        listed = run("dpkg-deb", "-c", package).stdout
        for line in listed.splitlines():
            self.assertIn(" root/root ", line)
        scripts = self.dir + "/control"
        run("dpkg-deb", "-e", package, scripts)
        for name in ("postinst", "prerm", "postrm"):
            self.assertEqual(run("sh", "-n", os.path.join(scripts, name)).stderr, "")
        tree = self.dir + "/tree"
        self.assertEqual(run("dpkg-deb", "-x", package, tree).returncode, 0)
        self.check_files(tree + "/usr")
        self.check_unit(tree + "/usr", "/usr/bin")
        return tree

    def test_package(self):
        package = self.build_package()
        tree = self.check_package(package)
        if not self.installed_for_real(package):
            self.check_runs(tree + "/usr/bin")

    def installed_for_real(self, package):
        """dpkg installs it on a copy of this machine: an overlay that nobody else sees and that goes with the process."""
        top = self.dir + "/machine"
        os.mkdir(top)
        inside = """set -e
mount -t tmpfs tmpfs {top}
mkdir {top}/upper {top}/work {top}/root
mount -t overlay overlay -o lowerdir=/,upperdir={top}/upper,workdir={top}/work {top}/root
mount --rbind /proc {top}/root/proc
mount --rbind /dev {top}/root/dev
cp {package} {top}/root/tmp/espalier.deb
exec /usr/bin/python3 {source}/tests/deploy/installed.py {build} {source} {top}/root
""".format(top=top, package=package, source=SOURCE, build=BUILD)
        if os.geteuid() != 0 or run("unshare", "-m", "sh", "-c", inside.split("mount --rbind")[0]).returncode:
            skip("installing the package needs root and an overlay file system; it was only unpacked and run")
            return False
        got = subprocess.run(["unshare", "-m", "sh", "-c", inside], capture_output=True, text=True, timeout=250)
        self.assertEqual(got.returncode, 0, got.stdout + got.stderr)
        print(got.stdout.strip(), flush=True)
        self.assertIn("installed, used, upgraded, removed", got.stdout)
        return True


if __name__ == "__main__":
    main()
