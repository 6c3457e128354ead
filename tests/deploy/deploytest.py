"""A daemon with simulated jobs from any place that programs were put.

Usage of the tests:  PYTHON TEST.py BUILD_DIR SOURCE_DIR
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

BUILD, SOURCE = sys.argv[1:3]
MADE = os.path.join(BUILD, "deploy")


def run(*argv, **kwargs):
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, **kwargs)


def skip(what):
    print("SKIP: " + what, flush=True)


def have(program, package):
    if shutil.which(program):
        return True
    skip("%s is not here (Debian: apt-get install %s); what it would check was not checked" % (program, package))
    return False


class Daemon:
    """prefix: what to put before a program's path, such as chroot DIR."""

    def __init__(self, bin_dir, prefix=(), home=None):
        self.dir = home or tempfile.mkdtemp(prefix="espalier-i-")
        self.bin, self.prefix = bin_dir, list(prefix)
        self.address = "unix:%s/s/sock" % self.dir
        self.environment = {**os.environ, "ESPALIER_SERVER": self.address}

    def program(self, name, *arguments):
        return [*self.prefix, os.path.join(self.bin, name), *arguments]

    def start(self):
        self.process = subprocess.Popen(
            self.program("espalierd", "--home", self.dir + "/home", "--listen", self.address, "--launcher", "fake",
                         "--cores", "2"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("listening on"):
            raise AssertionError(line + self.process.stderr.read())
        return self

    def client(self, *arguments):
        return run(*self.program("espalier", *arguments), env=self.environment)

    def submit(self, script, folder):
        path = os.path.join(folder, "job.yaml")
        with open(path, "w") as f:
            f.write("name: '%s'\ndata:\n  pretrain: /etc/hostname\n  vocabulary: /etc/hostname\n"
                    "phases:\n  pretrain:\n    steps: 10\n" % script)
        got = self.client("submit", path)
        if got.returncode:
            raise AssertionError(got.stderr)
        return got.stdout.strip()

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        said = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        shutil.rmtree(self.dir, ignore_errors=True)
        if code or "Sanitizer" in said:
            raise AssertionError("espalierd ended with %d\n%s" % (code, said))


def main():
    unittest.main(argv=sys.argv[:1] + sys.argv[3:], verbosity=2)
