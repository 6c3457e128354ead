"""On a copy of this machine, as root: install the package, use it as the account `espalier`, upgrade, remove.

Called by test_install.py:  installed.py BUILD SOURCE ROOT
"""
import os
import sys
import tempfile

from deploytest import Daemon, run

ROOT = sys.argv[3]
CHROOT = ("chroot", ROOT)


def check(got):
    if got.returncode:
        raise AssertionError("%s\n%s%s" % (got.args, got.stdout, got.stderr))
    return got.stdout


def use():
    as_account = (*CHROOT, "setpriv", "--reuid=espalier", "--regid=espalier", "--clear-groups", "env", "HOME=/var/lib/espalier")
    check(run(*CHROOT, "install", "-d", "-o", "espalier", "-m", "700", "/var/lib/espalier", "/run/espalier"))
    d = Daemon("/usr/bin", prefix=as_account, home="/var/lib/espalier")
    d.address = "unix:/run/espalier/espalierd.sock"  # the service's, which a client finds by itself
    for name in ("ESPALIER_SERVER", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
        d.environment.pop(name, None)
    d.environment["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    d.start()
    with tempfile.TemporaryDirectory(dir=ROOT + "/tmp") as folder:
        os.chmod(folder, 0o755)
        path = folder[len(ROOT):]
        with open(folder + "/job.yaml", "w") as f:
            f.write("name: steps=2\ndata:\n  pretrain: /etc/hostname\n  vocabulary: /etc/hostname\nphases:\n  pretrain:\n"
                    "    steps: 2\n")
        job = check(d.client("submit", path + "/job.yaml")).strip()
    check(d.client("wait", job))
    check(run(*CHROOT, "env", "-u", "ESPALIER_SERVER", "-u", "XDG_RUNTIME_DIR", "espalier", "show", job))  # root's
    d.dir = "/nonexistent"  # the home stays, for the upgrade
    d.end()


def install():
    """Without a network a library's meta package may be missing: then that one dependency is not proven, and said."""
    got = run(*CHROOT, "dpkg", "-i", "/tmp/espalier.deb")
    if got.returncode and " depends on " in got.stdout + got.stderr:
        print("SKIP: " + " ".join(line.strip() for line in (got.stdout + got.stderr).splitlines() if " depends on " in line))
        got = run(*CHROOT, "dpkg", "--force-depends", "-i", "/tmp/espalier.deb")
    check(got)


install()
assert "espalier:x:" in check(run(*CHROOT, "getent", "passwd", "espalier"))
assert "no faults" in check(run(*CHROOT, "espalierd", "config", "check"))
use()
install()
use()
check(run(*CHROOT, "dpkg", "-P", "espalier"))
assert not os.path.exists(ROOT + "/usr/bin/espalierd")
assert os.path.exists(ROOT + "/var/lib/espalier/home/espalier.db"), "a purge must not take people's jobs"
print("installed, used, upgraded, removed")
