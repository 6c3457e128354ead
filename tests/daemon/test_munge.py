"""MUNGE in the place of a token: the real client, a real munged with a key and a socket of its own, and credentials
that are made, bent and shown by hand."""
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from bed import J, Daemon, grpc, main
from net import DEADLINE, Network

MISSING = [p for p in ("munged", "munge") if not shutil.which(p, path=os.environ["PATH"] + ":/usr/sbin")]
if MISSING:
    print("SKIP: not installed: %s (Debian: apt-get install munge)" % " ".join(MISSING))
    sys.exit(77)
ESPALIER = os.environ["ESPALIER"]
ME = pwd.getpwuid(os.getuid()).pw_name
NOBODY_HAS_IT = 54321  # a uid
CROWD = 80


class Munged:
    """In the foreground, so that it can be stopped and ended as a child. Other users may reach its socket."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="espalier-munge-")
        os.chmod(self.dir, 0o755)
        self.socket, key = self.path("socket"), self.path("key")
        with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as f:
            f.write(os.urandom(128))
        program = shutil.which("munged", path=os.environ["PATH"] + ":/usr/sbin")
        self.process = subprocess.Popen([program, "--foreground", "--force", "--num-threads=2", "--key-file=" + key,
                                         "--socket=" + self.socket, "--pid-file=" + self.path("pid"),
                                         "--log-file=" + self.path("log"), "--seed-file=" + self.path("seed")],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while subprocess.run(["munge", "-n", "-S", self.socket], capture_output=True).returncode:
            if self.process.poll() is not None or time.monotonic() > until:
                raise AssertionError("munged does not start")
            time.sleep(0.05)

    def path(self, name):
        return os.path.join(self.dir, name)

    def make(self, payload, *options, uid=None):
        as_user = {"user": uid, "group": uid, "extra_groups": []} if uid is not None else {}
        return subprocess.run(["munge", "-S", self.socket, "-s", payload, *options], check=True, capture_output=True,
                              text=True, **as_user).stdout.strip()

    def stop(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.dir)


def setUpModule():
    global munged
    munged = Munged()


def tearDownModule():
    munged.stop()


class Munge(Network):
    MUNGE = ()
    SOCKET = None

    @property
    def OPTIONS(self):
        return (*super().OPTIONS, "--munge", "true", "--munge-socket", self.SOCKET or munged.socket, *self.MUNGE)

    def address(self):
        return "tls:127.0.0.1:%d" % self.d.port

    def cli(self, code, *args, says="", flag=("--munge",), **env):
        done = subprocess.run(
            [ESPALIER, "--server", self.address(), "--ca", self.d.cert, *flag, *args], capture_output=True, text=True,
            timeout=60, env={**os.environ, "HOME": self.d.dir, "ESPALIER_MUNGE_SOCKET": munged.socket, **env})
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertIn(says, done.stderr)
        self.assertNotIn("Sanitizer", done.stderr)
        return done.stdout

    def shows(self, cred, method="Ping"):
        """Status and sentence of a call with this credential."""
        caller = self.d.bearer()
        caller.headers = [("authorization", "MUNGE " + cred)]
        return caller.says(self.method[method], {})

    def denied(self, part, cred):
        code, text = self.shows(cred)
        self.assertEqual(code, grpc.StatusCode.UNAUTHENTICATED, text)
        self.assertIn(part, text)

    def good(self, *options, **kwargs):
        return munged.make("espalier " + self.address(), *options, **kwargs)


class Users(Munge):
    def test_a_job_of_the_user_by_the_real_client(self):
        job = os.path.join(self.d.root, "job.yaml")
        with open(job, "w") as f:
            f.write("data: {pretrain: data, vocabulary: words}\nphases.pretrain.steps: 10\nname: steps=3 step_ms=20\n")
        number = self.cli(0, "submit", job).strip()
        self.cli(0, "wait", number)  # a stream, and calls beside it
        self.assertEqual(self.d.get(number).owner, ME)
        self.assertIn(number, self.cli(0, "jobs"))
        self.assertIn(number, self.cli(0, "jobs", flag=(), ESPALIER_MUNGE="1"))
        self.cli(7, "jobs", flag=(), says="a token is needed here")
        hers = self.submit("anna")
        self.cli(7, "show", hers, says="job %s is somebody else's" % hers)
        self.cli(7, "token", "ls", says="%s has the role user, which may not call" % ME)

    def test_the_user_of_another_uid(self):
        if os.getuid():
            self.skipTest("only root makes credentials of others")
        uid = pwd.getpwnam("nobody").pw_uid
        caller = self.d.bearer()
        caller.headers = [("authorization", "MUNGE " + self.good(uid=uid))]
        code, text = caller.says(self.method["ListTokens"], {})
        self.assertEqual((code, text), (grpc.StatusCode.PERMISSION_DENIED, "nobody has the role user, which may not call "
                                        "/espalier.v1.JobService/ListTokens; it takes the role operator"))
        self.denied("knows no user with uid %d" % NOBODY_HAS_IT, self.good(uid=NOBODY_HAS_IT))

    def test_a_credential_is_good_once(self):
        cred = self.good()
        self.assertEqual(self.shows(cred), (grpc.StatusCode.OK, ""))
        self.denied("was used before; each call needs a new one", cred)
        self.assertEqual(self.shows(self.good()), (grpc.StatusCode.OK, ""))

    def test_an_expired_one_is_refused(self):
        cred = self.good("--ttl", "1")
        time.sleep(2.1)
        self.denied("the MUNGE credential has expired", cred)

    def test_one_for_another_service_is_refused(self):
        self.denied("was made for another service", munged.make("slurm"))
        self.denied("was made for another service", munged.make(""))
        self.denied("was made for another service", munged.make("espalier " + "x" * 400))
        host, port = "tls:127.0.0.1:", self.d.port
        for address in (host + str(port + 1), "tls:127.0.0.2:%d" % port, "tls:test:%d" % port, "tls:127.0.0.1",
                        "127.0.0.1:%d" % port, "tls:" + host + str(port)):
            self.denied("was made for %s, which is not this daemon" % address, munged.make("espalier " + address))

    def test_what_is_no_credential(self):
        good = self.good()
        for cred in ("", "x", "MUNGE:", "MUNGE:AAAA:", good[:-9] + ":", good[:40] + "A" * 20 + good[60:], "M" * 5000):
            self.denied("the MUNGE credential is not valid", cred)
        self.assertIn("refused 1 call without a valid token, the last from ipv4:127.0.0.1", self.d.said())
        self.assertNotIn(good, self.d.said())

    def test_a_munged_that_hangs_holds_up_nobody_else(self):
        cred = self.good()
        munged.process.send_signal(signal.SIGSTOP)
        try:
            channel = self.d.bearer().channel
            waits = channel.unary_unary("/espalier.v1.JobService/Ping").future(
                b"", timeout=DEADLINE, metadata=[("authorization", "MUNGE " + cred)])
            for _ in range(20):
                self.assertEqual(self.by["anna"].says(self.method["Ping"], {}, timeout=5)[0], grpc.StatusCode.OK)
            self.assertFalse(waits.done())
        finally:
            munged.process.send_signal(signal.SIGCONT)
        J.PingReply.FromString(waits.result())

    def test_a_crowd_before_a_munged_that_hangs(self):
        """As many wait as there is room for, the others are told so; and an end of the daemon answers them all."""
        munged.process.send_signal(signal.SIGSTOP)
        try:
            ping = self.d.bearer().channel.unary_unary("/espalier.v1.JobService/Ping")
            waits = [ping.future(b"", timeout=DEADLINE, metadata=[("authorization", "MUNGE x")])
                     for _ in range(CROWD)]
            until = time.monotonic() + DEADLINE
            while sum(w.done() for w in waits) < CROWD - 65 and time.monotonic() < until:
                time.sleep(0.02)
            told = [w.exception() for w in waits if w.done()]
            self.d.process.send_signal(signal.SIGTERM)
        finally:
            munged.process.send_signal(signal.SIGCONT)
        self.assertEqual({e.code() for e in told}, {grpc.StatusCode.RESOURCE_EXHAUSTED})
        self.assertIn("too many MUNGE credentials wait", told[0].details())
        self.assertEqual(len(told), CROWD - 65)  # 64 wait, one is before munged
        self.assertEqual(self.d.process.wait(DEADLINE), 0)
        left = {w.exception().code() for w in waits} - {grpc.StatusCode.RESOURCE_EXHAUSTED}
        self.assertLessEqual(left, {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED})
        self.d.log.close()
        self.d.process.stdout.close()

    def test_munged_is_away_from_the_client(self):
        self.cli(8, "jobs", says="munged on this machine makes no credential", ESPALIER_MUNGE_SOCKET="/no/socket")


class Operators(Munge):
    MUNGE = ("--munge-operators", "carl", "--munge-operators", ME)

    def test_an_operator_rules(self):
        self.assertIn("anna", self.cli(0, "token", "ls"))
        hers = self.submit("anna")
        self.assertIn(hers, self.cli(0, "jobs"))


class Away(Munge):
    SOCKET = "/no/socket"

    def test_munged_is_away_from_the_daemon(self):
        code, text = self.shows(self.good())
        self.assertEqual(code, grpc.StatusCode.UNAVAILABLE)
        self.assertIn("munged on the daemon's machine does not answer", text)
        self.cli(8, "jobs", says="munged on the daemon's machine does not answer")
        self.assertEqual(self.by["anna"].says(self.method["Ping"], {})[0], grpc.StatusCode.OK)


class Off(Munge):
    OPTIONS = Network.OPTIONS

    def test_a_daemon_takes_none_unless_it_is_told_to(self):
        self.denied("this daemon takes no MUNGE credentials", self.good())
        self.cli(7, "jobs", says="this daemon takes no MUNGE credentials")

    def test_without_the_network_there_is_nothing_to_take(self):
        lone = Daemon("--munge", "true")
        done = subprocess.run(lone.argv(), capture_output=True, text=True, timeout=DEADLINE)
        self.assertEqual(done.returncode, 2)
        self.assertIn("listen has no tls: address on which a credential could come", done.stderr)


if __name__ == "__main__":
    main()
