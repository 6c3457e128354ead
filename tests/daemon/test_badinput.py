"""What espalierd says to bad input: every RPC by every kind of fault, hostile connections, a full disk.

The table below is made from the contract, so that a new RPC takes part by itself (net.py).
"""
import os
import re
import resource
import shutil
import socket
import ssl
import subprocess
import time

from bed import J, Case, Daemon, grpc, main
from net import DEADLINE, Network, message_of, methods

Code = grpc.StatusCode
WIRE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "spec", "wire.md")


def documented():
    """Statuses of wire.md's table, and its text."""
    with open(WIRE) as f:
        text = f.read()
    return set(re.findall(r"^\| ([A-Z_]+) \|", text, re.M)), text


def texts(message):
    return [f for f in message.fields if f.type == f.TYPE_STRING]


def tag(field, wire_type):
    n, out = field.number << 3 | wire_type, b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


class Matrix(Network):
    def setUp(self):
        super().setUp()
        self.boss = self.by["boss"]
        self.codes, self.wire = documented()

    def faults(self, fault, call):
        """call(method) -> status and sentence, of every method; the daemon lives and what it said is documented."""
        said = []
        for method in methods():
            with self.subTest(fault=fault, method=method.name):
                code, text = call(method)
                if code != Code.OK:
                    self.assertIn(code.name, self.codes, text)
                    self.assertNotIn(code, (Code.INTERNAL, Code.UNKNOWN, Code.DATA_LOSS), text)
                    self.assertTrue(text)
                said.append((method, code, text))
        self.assertEqual(self.boss.says(self.method["Ping"], {})[0], Code.OK)
        return said

    def bytes_say(self, method, data, **kwargs):
        try:
            answer = self.boss.raw(method, data, **kwargs)
            if method.server_streaming:
                list(answer)
            return Code.OK, ""
        except grpc.RpcError as e:
            return e.code(), e.details()

    def test_every_method_is_in_the_document(self):
        for method in methods():
            self.assertRegex(self.wire, r"[| ,]%s[ ,|]" % method.name)

    def test_unknown_id(self):
        has_id = lambda m: "id" in m.input_type.fields_by_name
        for job, codes, says in (("424242", {Code.NOT_FOUND}, "no job 424242"),
                                 ("no id", {Code.INVALID_ARGUMENT}, "'no id' is no job id"),
                                 ("99999999999999999999", {Code.INVALID_ARGUMENT}, "is no job id"),
                                 ("last", {Code.NOT_FOUND}, "there is no job yet")):
            for method, code, text in self.faults(job, lambda m: self.boss.says(m, self.fields(m, job))
                                                  if has_id(m) else (Code.OK, "")):
                if has_id(method):
                    self.assertIn(code, codes, text)
                    self.assertIn(says, text)

    def test_wrong_state(self):
        """A job that is over stays what it was, whatever is asked of it, unless that is what the call is for."""
        for method, code, text in self.faults("over", self.ask_over):
            if code != Code.OK:
                self.assertIn(code, (Code.FAILED_PRECONDITION, Code.NOT_FOUND, Code.INVALID_ARGUMENT), text)

    def ask_over(self, method):
        if "id" not in method.input_type.fields_by_name:
            return Code.OK, ""
        job = self.submit("anna")
        self.d.wait(job, "COMPLETED")
        said = self.boss.says(method, self.fields(method, job))
        if said[0] != Code.OK:
            self.assertEqual(self.d.state(job), "COMPLETED")
        return said

    def test_oversized(self):
        for method, code, text in self.faults("9 MiB", lambda m: self.bytes_say(m, b"\x0a\x80\x80\xc0\x04" + bytes(9 << 20))):
            self.assertEqual(code, Code.RESOURCE_EXHAUSTED, text)
        for method, code, text in self.faults("fields", lambda m: self.bytes_say(m, b"\xfa\x3f\x00" * 300000)):
            self.assertEqual((code, "fields" in text), (Code.RESOURCE_EXHAUSTED, True), text)

    def test_malformed(self):
        for junk in (b"\xff", b"\x0a\x05x", os.urandom(300) + b"\xff\xff"):
            for method, code, text in self.faults("junk", lambda m: self.bytes_say(m, junk)):
                self.assertEqual(code, Code.INVALID_ARGUMENT, text)
        for bad, says in ((b"a\xffb", "is not valid UTF-8 at byte 1"), (b"a\0b", "has a NUL character at byte 1")):
            call = lambda m: self.bytes_say(m, tag(texts(m.input_type)[0], 2) + b"\x03" + bad) if texts(m.input_type) \
                else (Code.OK, "")
            for method, code, text in self.faults("text", call):
                if texts(method.input_type):
                    self.assertEqual((code, text), (Code.INVALID_ARGUMENT, "field '%s' %s" %
                                                    (texts(method.input_type)[0].name, says)))

    def test_compressed(self):
        call = lambda m: self.bytes_say(m, bytes(1 << 16), compression=grpc.Compression.Gzip)
        for method, code, text in self.faults("gzip", call):
            self.assertEqual(code, Code.UNIMPLEMENTED, text)

    def test_sent_twice(self):
        """The same request again: the same answer, or a sentence that says why it is done already."""
        def twice(method):
            job = self.submit("anna", "steps=1000 step_ms=100")
            fields = self.fields(method, job)
            first, second = self.boss.says(method, fields), self.boss.says(method, fields)
            self.boss.says(self.method["Cancel"], {"id": job})
            if second != first:
                self.assertIn(second[0], (Code.OK, Code.FAILED_PRECONDITION, Code.NOT_FOUND), second[1])
            return second
        self.faults("twice", twice)

    def test_expired_deadline(self):
        late = (Code.DEADLINE_EXCEEDED, Code.OK, Code.NOT_FOUND, Code.INVALID_ARGUMENT, Code.FAILED_PRECONDITION)
        said = self.faults("1 ms", lambda m: self.boss.says(m, self.fields(m, "1"), timeout=1e-3))
        for method, code, text in said:
            self.assertIn(code, late, text)
        self.assertIn(Code.DEADLINE_EXCEEDED, [code for _, code, _ in said])

    def test_cancelled_midway(self):
        job = self.submit("anna", "steps=1000 step_ms=100")

        def cancel(method):
            request = message_of(method.input_type)(**self.fields(method, job)).SerializeToString()
            path = "/%s/%s" % (method.containing_service.full_name, method.name)
            for pause in (0, 0.002):
                if method.server_streaming:
                    call = self.boss.channel.unary_stream(path)(request, timeout=DEADLINE, metadata=self.boss.headers)
                else:
                    call = self.boss.channel.unary_unary(path).future(request, timeout=DEADLINE, metadata=self.boss.headers)
                time.sleep(pause)
                call.cancel()
            return Code.OK, ""
        self.faults("cancel", cancel)


class Connections(Network):
    def connect(self):
        return socket.create_connection(("127.0.0.1", self.d.port), timeout=10)

    def tls(self, **kwargs):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.d.cert)
        context.set_alpn_protocols(kwargs.get("alpn", ["h2"]))
        return context.wrap_socket(self.connect(), server_hostname="127.0.0.1")

    def serves(self):
        self.assertEqual(self.by["eye"].says(self.method["Ping"], {})[0], Code.OK)
        self.d.client.call("Ping")

    def test_what_is_no_grpc(self):
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        for payload in (os.urandom(4096), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", bytes(100), preface + os.urandom(500),
                        b"\x16\x03\x01" + os.urandom(200), preface[:7], b""):
            for opener in (self.connect, self.tls):
                with opener() as s:
                    s.settimeout(0.3)
                    try:
                        s.sendall(payload)
                        s.recv(4096)
                    except OSError:
                        pass
        self.serves()

    def test_old_tls_is_refused(self):
        def handshake(version):
            return subprocess.run(["openssl", "s_client", "-connect", "127.0.0.1:%d" % self.d.port, "-alpn", "h2", version,
                                   "-cipher", "ALL:@SECLEVEL=0"], stdin=subprocess.DEVNULL, capture_output=True).returncode
        self.assertEqual((handshake("-tls1_2"), handshake("-tls1_3")), (0, 0))
        self.assertNotEqual(handshake("-tls1_1"), 0)
        self.assertNotEqual(handshake("-tls1"), 0)

    def test_a_thousand_idle_connections(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
        idle = [self.connect() for _ in range(900)] + [self.tls() for _ in range(100)]
        self.serves()
        # Those that never shake hands are closed after ten seconds.
        idle[0].settimeout(30)
        self.assertEqual(idle[0].recv(1), b"")
        self.serves()
        for s in idle:
            s.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self.serves()


class Disk(Case):
    """A home on a small file system of its own."""

    def setUp(self):
        self.d = Daemon()
        os.mkdir(self.d.home, 0o700)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "espalier-test", self.d.home],
                                 stderr=subprocess.DEVNULL)
        if mounted.returncode != 0:
            self.d.remove()
            self.skipTest("no right to mount a tmpfs here")
        self.d.start()

    def tearDown(self):
        if self.d.process.poll() is None:
            self.assertEqual(self.d.end(), 0, self.d.said())
        subprocess.run(["umount", self.d.home], check=True)
        self.d.remove()

    def fill(self):
        path = os.path.join(self.d.home, "filler")
        with open(path, "wb", buffering=0) as f:
            try:
                while True:
                    f.write(bytes(4096))
            except OSError:
                return path

    def eventually(self, job, state):
        self.assertEqual(self.d.wait(job, state).id, job)

    def test_a_full_disk(self):
        job = self.d.submit("steps=60 step_ms=50")
        self.d.wait(job, "RUNNING")
        filler = self.fill()
        self.refused("RESOURCE_EXHAUSTED", "no room left for the job store", self.d.submit, "steps=1")
        self.assertEqual(self.d.state(job), "RUNNING")
        time.sleep(4)  # it ends meanwhile, and there is no room to say so
        self.assertIn(self.d.state(job), ("RUNNING", "COMPLETED"))
        os.unlink(filler)
        self.eventually(job, "COMPLETED")
        self.eventually(self.d.submit("steps=1"), "COMPLETED")


class ReadOnly(Case):
    """A home on an ext4 of its own, which turns read-only under a daemon that has its files open."""

    def setUp(self):
        self.d = Daemon()
        os.mkdir(self.d.home, 0o700)
        self.image = os.path.join(self.d.dir, "image")
        with open(self.image, "wb") as f:
            f.truncate(32 << 20)
        self.addCleanup(self.d.remove)
        if not self.shell("mkfs.ext4", "-q", self.image) or not self.mount(self.image):
            self.skipTest("no right to mount an ext4 image here")
        os.rmdir(os.path.join(self.d.home, "lost+found"))
        self.d.start()

    def tearDown(self):
        if self.d.process.poll() is None:
            self.assertEqual(self.d.end(), 0, self.d.said())

    @staticmethod
    def shell(*command):
        """What it printed, or True; False when it failed or is not there."""
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError:
            return False
        return done.returncode == 0 and (done.stdout.strip() or True)

    def mount(self, image):
        """By a loop device of its own: mount's would be the one of a file that had the same inode before."""
        self.device = self.shell("losetup", "--find", "--show", image)
        if not self.device:
            return False
        self.addCleanup(self.shell, "losetup", "--detach", self.device)
        self.addCleanup(self.shell, "umount", self.d.home)
        return self.shell("mount", "-o", "errors=remount-ro", self.device, self.d.home)

    def refuses(self, why, job, waiting):
        self.refused("UNAVAILABLE", "cannot be written (%s)" % why, self.d.submit, "steps=1")
        self.refused("UNAVAILABLE", "cannot be written", self.c.call, "Cancel", id=waiting)
        self.assertEqual(self.d.state(job), "RUNNING")
        time.sleep(max(0, self.over - time.monotonic()))  # and that it ended cannot be written down
        self.assertEqual(self.d.state(waiting), "QUEUED")
        self.assertEqual(self.c.call("Ping").cores, 2)

    def recovers(self, job, waiting):
        for one in (job, waiting, self.d.submit("steps=1")):
            self.d.wait(one, "COMPLETED")

    def two_jobs(self):
        job = self.d.submit("steps=80 step_ms=50")
        self.d.wait(job, "RUNNING")
        self.over = time.monotonic() + 5
        return job, self.d.submit("steps=1", ranks=2)

    def test_files_that_turn_immutable(self):
        """Unlike their mode, this holds for descriptors that are open too."""
        jobs = self.two_jobs()
        files = [self.d.home, *(os.path.join(self.d.home, n) for n in ("espalier.db", "espalier.db-wal"))]
        subprocess.run(["chattr", "+i", *files], check=True)
        try:
            self.refuses("Operation not permitted", *jobs)
        finally:
            subprocess.run(["chattr", "-i", *files], check=True)
        self.recovers(*jobs)

    def test_a_disk_that_failed(self):
        """The kernel gives it up for good: it is there again after a new mount and a start."""
        jobs = self.two_jobs()
        with open("/sys/fs/ext4/%s/trigger_fs_error" % os.path.basename(self.device), "w") as f:
            f.write("1")
        self.refuses("Read-only file system", *jobs)
        self.assertEqual(self.d.end(), 0, self.d.said())
        subprocess.run(["umount", self.d.home], check=True)
        mended = shutil.copy(self.image, self.image + ".mended")  # somebody's namespace may hold the broken one
        self.shell("fsck.ext4", "-y", mended)
        self.assertTrue(self.mount(mended))
        self.d.start()
        self.recovers(*jobs)


if __name__ == "__main__":
    main()
