"""The client over the network: certificates, token files, `espalier token`, and what keeps secrets out of sight."""
import os
import stat
import subprocess

import clitest
from clitest import CliTest

ESPALIERD = os.environ["ESPALIERD"]


class Token(CliTest):
    def setUp(self):
        super().setUp()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-days", "2", "-keyout", self.path("key.pem"), "-out", self.path("cert.pem"), "-subj", "/CN=test",
                        "-addext", "subjectAltName=IP:127.0.0.1"], check=True, stderr=subprocess.DEVNULL)
        os.chmod(self.path("key.pem"), 0o600)
        server = self.start_server([ESPALIERD, "--home", self.path("home"), "--listen", "unix:" + self.socket, "--listen",
                                    "tls:127.0.0.1:0", "--tls-cert", self.path("cert.pem"), "--tls-key",
                                    self.path("key.pem"), "--roots", self.dir, "--launcher", "fake", "--cores", "4",
                                    "--memory", "8000"], "listening")
        self.address = server.stdout.readline().split()[-1]

    def over(self, code, token, *args, ca="cert.pem", **kw):
        """Runs over the network with the token in a file of that name; None: without one."""
        env = {"ESPALIER_TOKEN_FILE": self.path(token)} if token else {}
        ca = ["--ca", self.path(ca)] if ca else []
        return self.check(code, "--server", self.address, *ca, *args, **env, **kw)

    def add(self, name, *args):
        self.check(0, "token", "add", name, "--out", name, *args, says="%s's token is in %s; it cannot be shown again" %
                   (name, name))

    def test_a_job_over_the_network(self):
        self.add("anna")
        self.assertEqual(stat.S_IMODE(os.stat(self.path("anna")).st_mode), 0o600)
        job = self.over(0, "anna", "submit", "job.yaml", "--set", "name=steps=3 step_ms=20").strip()
        self.over(0, "anna", "wait", job)
        shown = self.check_json("show", job, "--json")
        self.assertEqual((shown["owner"], shown["state"]), ("anna", "COMPLETED"))
        self.assertIn(self.address, self.over(0, "anna", "ping"))
        self.add("bert")
        self.over(7, "bert", "show", job, says="job %s is somebody else's" % job)
        self.over(0, "bert", "jobs", says="no jobs")
        self.add("eye", "--role", "read-only")
        self.assertIn(job, self.over(0, "eye", "jobs"))
        self.over(7, "eye", "cancel", job, says="/Cancel; it takes the role user or operator")

    def test_tokens_are_listed_and_revoked(self):
        out = self.check(0, "token", "add", "carl", "--role", "operator", "--days", "3", says="it cannot be shown again")
        self.assertRegex(out, r"^[0-9a-f]{64}\n$")
        self.write("carl", out)
        os.chmod(self.path("carl"), 0o600)
        rows = self.check_json("token", "ls", "--json")
        self.assertEqual([(r["name"], r["role"], r["revoked_ms"]) for r in rows], [("carl", "OPERATOR", 0)])
        self.assertNotIn(out.strip(), str(rows))
        self.assertRegex(self.over(0, "carl", "token", "ls"), r"carl +operator +in force +\d{4}-.*\d{4}-")
        self.check(4, "token", "add", "carl", says="carl has a token already; revoke that one first")
        self.over(0, "carl", "token", "revoke", "carl", says="carl's token lets in no more")
        self.over(7, "carl", "ping", says="the token is unknown, revoked or expired")
        self.assertIn("revoked", self.check(0, "token", "ls"))
        self.check(3, "token", "revoke", "carl", says="carl has no token in force")
        self.check(2, "token", "add", "a b", says="is no name for a token")
        self.check(2, "token", "add", "x", "--role", "root", says="--role expects user, operator or read-only")
        self.check(2, "token", "add", says="`token add` needs one name")
        self.check(2, "token", "lend", says="there are add, ls and revoke")

    def test_secrets_stay_in_their_files(self):
        self.add("anna")
        os.chmod(self.path("anna"), 0o640)
        self.over(7, "anna", "ping", says="is open to others (mode 640): chmod 600 it")
        self.write("empty", "\n")
        os.chmod(self.path("empty"), 0o600)
        self.over(2, "empty", "ping", says="must hold one line, the token")
        self.over(3, "nowhere", "ping", says="nowhere")
        self.over(7, None, "ping", says="a token is needed here")
        os.makedirs(self.path(".config/espalier"))
        os.rename(self.path("anna"), self.path(".config/espalier/token"))
        os.chmod(self.path(".config/espalier/token"), 0o600)
        self.over(0, None, "ping")

    def test_certificates(self):
        self.add("anna")
        self.over(8, "anna", "ping", ca=None, says="come from a CA that is trusted here")
        self.over(3, "anna", "ping", ca="missing", says="missing")
        self.over(2, "anna", "ping", ca="job.yaml", says="holds no certificate")
        self.over(0, "anna", "ping", ca=None, ESPALIER_CA_FILE=self.path("cert.pem"))
        self.over(2, "anna", "ping", "--cert", self.path("cert.pem"), says="is given without its key")
        plain = self.address[len("tls:"):]
        self.check(2, "--server", plain, "ping", says="nothing is sent over a network without TLS")


if __name__ == "__main__":
    clitest.main()
