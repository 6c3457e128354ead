#!/usr/bin/python3
"""Drives the test server (wire_server) with a stock gRPC client, and with peers that mean harm.

usage: test_wire.py WIRE_SERVER PROTO_DIR GRPC_PROTO_DIR PROTOC
"""
import importlib.util
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import unittest

try:
    import grpc
except ImportError as e:
    print("SKIPPED: no Python gRPC client here (apt-get install python3-grpcio): %s" % e)
    sys.exit(77)

SERVER, PROTO, GRPC_PROTO, PROTOC = sys.argv[1:5]
TEMP = tempfile.TemporaryDirectory(prefix="espalier-wire-")
subprocess.run([PROTOC, "-I", PROTO, "-I", GRPC_PROTO, "--python_out", TEMP.name,
                "espalier/v1/job.proto", "espalier/v1/report.proto", "grpc/health/v1/health.proto",
                "grpc/reflection/v1alpha/reflection.proto"], check=True)
# The generated grpc/ folder must not hide the grpc package: its modules are loaded from beside.
sys.path.insert(0, TEMP.name)
from espalier.v1 import job_pb2


def load(path):
    spec = importlib.util.spec_from_file_location(path.replace("/", "_")[:-3], os.path.join(TEMP.name, path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


health_pb2 = load("grpc/health/v1/health_pb2.py")
reflection_pb2 = load("grpc/reflection/v1alpha/reflection_pb2.py")
from google.protobuf import descriptor_pb2

JOB = "/espalier.v1.JobService/"


def unary(channel, method, reply_type):
    return channel.unary_unary(method, request_serializer=lambda m: m.SerializeToString(),
                               response_deserializer=reply_type.FromString)


def stream(channel, method, reply_type):
    return channel.unary_stream(method, request_serializer=lambda m: m.SerializeToString(),
                                response_deserializer=reply_type.FromString)


def raw(channel, method):
    return channel.unary_unary(method, request_serializer=None, response_deserializer=None)


class Wire(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.path = os.path.join(TEMP.name, "socket")
        cls.server = subprocess.Popen([SERVER, "unix:" + cls.path], stdout=subprocess.PIPE)
        assert cls.server.stdout.readline() == b"0\n"
        cls.channel = grpc.insecure_channel("unix:" + cls.path)

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        cls.server.send_signal(signal.SIGTERM)
        cls.exit_code = cls.server.wait(timeout=8)
        cls.server.stdout.close()
        assert cls.exit_code == 0, "the server ended with %d" % cls.exit_code
        assert not os.path.exists(cls.path), "the socket file was left behind"

    def tearDown(self):
        self.assertIsNone(self.server.poll(), "the server died")
        self.assertEqual(self.ping().version, "test")

    def ping(self):
        return unary(self.channel, JOB + "Ping", job_pb2.PingReply)(job_pb2.PingRequest(), timeout=10)

    def get(self, job_id, **options):
        return unary(self.channel, JOB + "Get", job_pb2.GetReply)(job_pb2.GetRequest(id=job_id), **options)

    def fails(self, code, call, *args, **options):
        with self.assertRaises(grpc.RpcError) as caught:
            call(*args, **options)
        self.assertEqual(caught.exception.code(), code, caught.exception.details())
        return caught.exception.details()

    def eventually(self, condition):
        until = time.monotonic() + 10
        while not condition():
            self.assertLess(time.monotonic(), until, "waited in vain")
            time.sleep(0.02)

    # ---- a client that behaves

    def test_unary(self):
        self.assertEqual(self.get("now", timeout=20).job.name, "caf\u00e9")
        self.assertEqual(self.get("later", timeout=20).job.id, "later")
        self.assertEqual(self.get("now").job.id, "now")  # a call without a deadline

    def test_status_and_sentence(self):
        self.assertEqual(self.fails(grpc.StatusCode.NOT_FOUND, self.get, "41", timeout=20), "job '41' is unknown")
        submit = unary(self.channel, JOB + "Submit", job_pb2.SubmitReply)
        text = "na\u00efve: line 3\n\u20ac"
        request = job_pb2.SubmitRequest(job_file=text.encode(), file_name="fail")
        self.assertEqual(self.fails(grpc.StatusCode.INVALID_ARGUMENT, submit, request, timeout=20), text)
        request.job_file = b"a\xffb"
        self.assertEqual(self.fails(grpc.StatusCode.INVALID_ARGUMENT, submit, request, timeout=20), "a?b")
        request = job_pb2.SubmitRequest(file_name="bad reply")
        self.fails(grpc.StatusCode.INTERNAL, submit, request, timeout=20)

    def test_large_message(self):
        submit = unary(self.channel, JOB + "Submit", job_pb2.SubmitReply)
        request = job_pb2.SubmitRequest(job_file=bytes(7 << 20), request_id="big")
        self.assertEqual(submit(request, timeout=20).id, "big")

    def test_stream(self):
        watch = stream(self.channel, JOB + "Watch", job_pb2.Event)
        got = [e.cursor for e in watch(job_pb2.WatchRequest(id="7", after=500), timeout=20)]
        self.assertEqual(got, list(range(1, 501)))
        self.assertEqual(list(watch(job_pb2.WatchRequest(id="7"), timeout=20)), [])
        self.fails(grpc.StatusCode.NOT_FOUND, list, watch(job_pb2.WatchRequest(id="missing"), timeout=20))

    def test_slow_reader(self):
        watch = stream(self.channel, JOB + "Watch", job_pb2.Event)
        call = watch(job_pb2.WatchRequest(id="7", after=5000), timeout=60)
        next(call)
        time.sleep(0.3)
        self.ping()  # a reader that sleeps holds up nobody
        self.assertEqual(sum(1 for _ in call), 4999)

    def test_cancel(self):
        watch = stream(self.channel, JOB + "Watch", job_pb2.Event)
        call = watch(job_pb2.WatchRequest(id="7", after=1, follow=True))
        self.assertEqual(next(call).cursor, 1)
        self.assertEqual(self.ping().jobs_running, 1)
        call.cancel()
        self.eventually(lambda: self.ping().jobs_running == 0)

    def test_deadline(self):
        self.fails(grpc.StatusCode.DEADLINE_EXCEEDED, self.get, "never", timeout=0.2)
        watch = stream(self.channel, JOB + "Watch", job_pb2.Event)
        call = watch(job_pb2.WatchRequest(id="7", follow=True), timeout=0.2)
        self.fails(grpc.StatusCode.DEADLINE_EXCEEDED, list, call)
        self.eventually(lambda: self.ping().jobs_running == 0)

    def test_health(self):
        check = unary(self.channel, "/grpc.health.v1.Health/Check", health_pb2.HealthCheckResponse)
        for name in ("", "espalier.v1.JobService", "grpc.health.v1.Health"):
            self.assertEqual(check(health_pb2.HealthCheckRequest(service=name), timeout=20).status, 1)
        self.fails(grpc.StatusCode.NOT_FOUND, check, health_pb2.HealthCheckRequest(service="x"), timeout=20)
        watch = stream(self.channel, "/grpc.health.v1.Health/Watch", health_pb2.HealthCheckResponse)
        for name, status in (("", 1), ("x", 3)):
            call = watch(health_pb2.HealthCheckRequest(service=name))
            self.assertEqual(next(call).status, status)
            call.cancel()

    def reflect(self, version, requests):
        call = self.channel.stream_stream(
            "/grpc.reflection.%s.ServerReflection/ServerReflectionInfo" % version,
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString)
        return list(call(iter([reflection_pb2.ServerReflectionRequest(**r) for r in requests]), timeout=20))

    def test_reflection(self):
        for version in ("v1", "v1alpha"):
            answers = self.reflect(version, [
                {"list_services": ""}, {"file_containing_symbol": "espalier.v1.JobService"},
                {"file_by_filename": "espalier/v1/report.proto"},
                {"file_containing_symbol": "espalier.v1.Job.nothing"},
                {"file_containing_symbol": "espalier.v1.Nothing"}, {"file_by_filename": "x.proto"},
                {"all_extension_numbers_of_type": "x"}, {}])
            self.assertEqual(len(answers), 8)
            names = {s.name for s in answers[0].list_services_response.service}
            self.assertEqual(names, {"espalier.v1.JobService", "grpc.health.v1.Health",
                                     "grpc.reflection.v1.ServerReflection",
                                     "grpc.reflection.v1alpha.ServerReflection"})
            files = [descriptor_pb2.FileDescriptorProto.FromString(f)
                     for f in answers[1].file_descriptor_response.file_descriptor_proto]
            self.assertEqual([f.name for f in files], ["espalier/v1/job.proto"])
            self.assertIn("Submit", [m.name for m in files[0].service[0].method])
            files = [descriptor_pb2.FileDescriptorProto.FromString(f).name
                     for f in answers[2].file_descriptor_response.file_descriptor_proto]
            self.assertEqual(files, ["espalier/v1/report.proto", "espalier/v1/job.proto"])
            self.assertTrue(answers[3].HasField("file_descriptor_response"))
            for answer in answers[4:]:
                self.assertEqual(answer.error_response.error_code, grpc.StatusCode.NOT_FOUND.value[0])

    def test_reflected_names_are_served(self):
        answers = self.reflect("v1", [{"list_services": ""}] + [
            {"file_containing_symbol": s} for s in ("grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
                                                    "grpc.reflection.v1alpha.ServerReflection")])
        for answer in answers[1:]:
            self.assertTrue(answer.HasField("file_descriptor_response"), answer)

    def test_tcp(self):
        server = subprocess.Popen([SERVER, "127.0.0.1:0"], stdout=subprocess.PIPE)
        port = int(server.stdout.readline())
        second = subprocess.run([SERVER, "127.0.0.1:%d" % port], stderr=subprocess.PIPE)
        self.assertEqual(second.returncode, 1)
        self.assertIn(b"cannot listen on 127.0.0.1:%d" % port, second.stderr)
        with grpc.insecure_channel("127.0.0.1:%d" % port) as channel:
            reply = unary(channel, JOB + "Ping", job_pb2.PingReply)(job_pb2.PingRequest(), timeout=20)
            self.assertEqual(reply.version, "test")
            self.hostile_connections(lambda: socket.create_connection(("127.0.0.1", port)))
        server.send_signal(signal.SIGTERM)
        self.assertEqual(server.wait(timeout=20), 0)
        server.stdout.close()

    def test_stop_while_calls_live(self):
        path = os.path.join(TEMP.name, "stopping")
        server = subprocess.Popen([SERVER, "unix:" + path], stdout=subprocess.PIPE)
        server.stdout.readline()
        with grpc.insecure_channel("unix:" + path) as channel:
            watch = stream(channel, JOB + "Watch", job_pb2.Event)
            live = watch(job_pb2.WatchRequest(id="7", after=1, follow=True))
            next(live)
            held = unary(channel, JOB + "Get", job_pb2.GetReply).future(job_pb2.GetRequest(id="never"))
            monitor = stream(channel, "/grpc.health.v1.Health/Watch", health_pb2.HealthCheckResponse)(
                health_pb2.HealthCheckRequest())
            next(monitor)
            server.send_signal(signal.SIGTERM)
            self.assertIn(self.fails_with(live), (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED))
            self.assertEqual(self.fails_with(monitor), grpc.StatusCode.UNAVAILABLE)
            self.assertIsNotNone(held.exception(timeout=10))
        self.assertEqual(server.wait(timeout=20), 0)
        server.stdout.close()

    def fails_with(self, call):
        with self.assertRaises(grpc.RpcError) as caught:
            list(call)
        return caught.exception.code()

    # ---- peers that mean harm, or do it without meaning to

    def test_unknown_method(self):
        for name in (JOB + "Nothing", "/x", "/" + "y" * 4000, "/espalier.v1.JobService/", "/a/b\u00e9"):
            if name.isascii():
                self.fails(grpc.StatusCode.UNIMPLEMENTED, raw(self.channel, name), b"", timeout=20)
        said = self.fails(grpc.StatusCode.UNIMPLEMENTED, raw(self.channel, JOB + "Nothing"), b"", timeout=20)
        self.assertEqual(said, "there is no method '/espalier.v1.JobService/Nothing' here")

    def test_garbage_payloads(self):
        submit = raw(self.channel, JOB + "Submit")
        bad = [b"\xff", b"\x0a\x05abc", b"\x08", b"\x07", b"\x00\x00", b"\x0b\x0c", b"\x22\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
               b"\x1a\x02\x0a\x7f", b"\x80" * 40, os.urandom(20) + b"\xff"]
        for payload in bad:
            said = self.fails(grpc.StatusCode.INVALID_ARGUMENT, submit, payload, timeout=20)
            self.assertTrue(said)
        self.fails(grpc.StatusCode.INVALID_ARGUMENT, raw(self.channel, JOB + "Watch"), b"\xff", timeout=20)
        self.fails(grpc.StatusCode.INVALID_ARGUMENT,
                   raw(self.channel, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"), b"\xff", timeout=20)

    def test_damaged_payloads(self):
        submit = raw(self.channel, JOB + "Submit")
        chance = random.Random(7)
        good = job_pb2.SubmitRequest(job_file=b"name: x", file_name="x", request_id="r", folder="/x", overrides=[
            job_pb2.Override(key="caf\u00e9", value="1"), job_pb2.Override(key="b")]).SerializeToString()
        seen = set()
        for _ in range(500):
            bad = bytearray(good)
            for _ in range(chance.randint(1, 3)):
                bad[chance.randrange(len(bad))] = chance.randrange(256)
            try:
                submit(bytes(bad[:chance.randint(len(bad) // 2, len(bad))]), timeout=20)
                seen.add("OK")
            except grpc.RpcError as e:
                self.assertEqual(e.code(), grpc.StatusCode.INVALID_ARGUMENT, e.details())
                seen.add(e.details().split("'")[0])
        self.assertGreater(len(seen), 2, seen)

    def test_bad_text(self):
        submit = raw(self.channel, JOB + "Submit")
        said = self.fails(grpc.StatusCode.INVALID_ARGUMENT, submit, b"\x22\x03a\xffb", timeout=20)
        self.assertEqual(said, "field 'request_id' is not valid UTF-8 at byte 1")
        said = self.fails(grpc.StatusCode.INVALID_ARGUMENT, submit, b"\x22\x03a\x00b", timeout=20)
        self.assertEqual(said, "field 'request_id' has a NUL character at byte 1")
        # Nested: Override.value of overrides.
        self.fails(grpc.StatusCode.INVALID_ARGUMENT, submit, b"\x1a\x05\x12\x03\xed\xa0\x80", timeout=20)

    def test_no_message_and_two(self):
        call = self.channel.stream_unary(JOB + "Ping", request_serializer=None, response_deserializer=None)
        said = self.fails(grpc.StatusCode.INVALID_ARGUMENT, call, iter([]), timeout=20)
        self.assertEqual(said, "the call carries no request")
        self.assertTrue(call(iter([b"", b""]), timeout=20))

    def test_oversize(self):
        submit = raw(self.channel, JOB + "Submit")
        self.fails(grpc.StatusCode.RESOURCE_EXHAUSTED, submit, b"\x0a\x80\x80\x80\x05" + bytes(10 << 20), timeout=20)
        # Small on the wire, half a gigabyte when unpacked.
        said = self.fails(grpc.StatusCode.RESOURCE_EXHAUSTED, submit, b"\x1a\x00" * 4000000, timeout=20)
        self.assertIn("fields", said)

    def test_compressed(self):
        call = raw(self.channel, JOB + "Submit")
        self.fails(grpc.StatusCode.UNIMPLEMENTED, call, b"\x0a\x80\x80\x40" + bytes(1 << 20),
                   timeout=20, compression=grpc.Compression.Gzip)

    def test_deadline_of_a_millisecond(self):
        for _ in range(200):
            try:
                self.get("now", timeout=0.001)
            except grpc.RpcError as e:
                self.assertEqual(e.code(), grpc.StatusCode.DEADLINE_EXCEEDED)

    def connect(self):
        s = socket.socket(socket.AF_UNIX)
        s.connect(self.path)
        return s

    def hostile_connections(self, connect):
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        for payload in (os.urandom(4096), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00" * 100, preface,
                        preface + os.urandom(500), preface + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" + os.urandom(300),
                        preface[:7], b""):
            with connect() as s:
                s.settimeout(0.2)
                try:
                    s.sendall(payload)
                    s.recv(4096)
                except OSError:
                    pass

    def test_hostile_connections(self):
        self.hostile_connections(self.connect)

    def test_idle_connections(self):
        idle = [self.connect() for _ in range(200)]
        self.ping()
        for s in idle[:100]:
            s.close()
        self.ping()
        for s in idle[100:]:
            s.close()

    def test_client_killed_in_a_stream(self):
        # fork() is no friend of gRPC: the victim is a program of its own.
        victim = subprocess.Popen([sys.executable, "-c", """if True:
            import grpc, sys
            call = grpc.insecure_channel(sys.argv[1]).unary_stream(sys.argv[2], None, None)
            stream = call(b"\\x10\\x01\\x18\\x01")
            next(stream)
            print("up", flush=True)
            next(stream)""", "unix:" + self.path, JOB + "Watch"], stdout=subprocess.PIPE)
        self.assertEqual(victim.stdout.readline(), b"up\n")
        self.assertEqual(self.ping().jobs_running, 1)
        victim.kill()
        victim.wait()
        victim.stdout.close()
        self.eventually(lambda: self.ping().jobs_running == 0)

    def test_too_many_calls(self):
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels = [grpc.insecure_channel("unix:" + self.path, options=options) for _ in range(10)]
        calls = [unary(c, JOB + "Get", job_pb2.GetReply).future(job_pb2.GetRequest(id="never"))
                 for c in channels for _ in range(120)]
        refused = threading.Event()
        for call in calls:
            call.add_done_callback(lambda c: c.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and refused.set())
        self.assertTrue(refused.wait(10))
        for c in channels:
            c.close()
        self.eventually(lambda: self.ping())

    # ---- the socket

    def test_socket(self):
        mode = os.stat(self.path).st_mode
        self.assertTrue(stat.S_ISSOCK(mode))
        self.assertEqual(stat.S_IMODE(mode), 0o600)
        second = subprocess.run([SERVER, "unix:" + self.path], stderr=subprocess.PIPE)
        self.assertEqual(second.returncode, 1)
        self.assertEqual(second.stderr.decode(), "wire_server: a server already listens on %s: stop it or choose "
                         "another path\n" % self.path)

    def test_stale_socket(self):
        path = os.path.join(TEMP.name, "stale")
        first = subprocess.Popen([SERVER, "unix:" + path], stdout=subprocess.PIPE)
        first.stdout.readline()
        first.kill()
        first.wait()
        first.stdout.close()
        self.assertTrue(os.path.exists(path))
        second = subprocess.Popen([SERVER, "unix:" + path], stdout=subprocess.PIPE)
        self.assertEqual(second.stdout.readline(), b"0\n")
        second.send_signal(signal.SIGTERM)
        self.assertEqual(second.wait(timeout=20), 0)
        second.stdout.close()


if __name__ == "__main__":
    del sys.argv[1:5]
    passed = unittest.main(verbosity=2, exit=False).result.wasSuccessful()
    TEMP.cleanup()
    sys.stdout.flush()
    # Python's gRPC ends by grpc_shutdown(), which may wait ten seconds for nothing.
    os._exit(0 if passed else 1)
