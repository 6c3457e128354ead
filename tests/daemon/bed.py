"""A real espalierd in a temporary home, driven by a stock gRPC client.

Usage of the tests:  PYTHON TEST.py ESPALIERD TRIVIAL_WORKER PROTO_DIR PROTOC
"""
import atexit
import os
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import uuid

try:
    import grpc
except ImportError:
    print("SKIP: this Python has no grpcio (Debian: apt-get install python3-grpcio)")
    sys.exit(77)

ESPALIERD, TRIVIAL_WORKER, PROTO_DIR, PROTOC = sys.argv[1:5]
_generated = tempfile.mkdtemp(prefix="espalier-pb-")
subprocess.run([PROTOC, "-I", PROTO_DIR, "--python_out", _generated, "espalier/v1/job.proto", "espalier/v1/report.proto"],
               check=True)
sys.path.insert(0, _generated)
from espalier.v1 import job_pb2 as J  # noqa: E402
from espalier.v1 import report_pb2 as R  # noqa: E402

shutil.rmtree(_generated)
PATIENCE = 60


def state_name(number):
    return J.JobState.Name(number).replace("JOB_STATE_", "")


class Client:
    """Calls by name; requests as dictionaries of fields."""
    REPLIES = {m.name: getattr(J, m.output_type.name) for m in J.DESCRIPTOR.services_by_name["JobService"].methods}
    REQUESTS = {m.name: getattr(J, m.input_type.name) for m in J.DESCRIPTOR.services_by_name["JobService"].methods}

    def __init__(self, address):
        self.channel = grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", 64 << 20),
                                                               ("grpc.initial_reconnect_backoff_ms", 50),
                                                               ("grpc.max_reconnect_backoff_ms", 200)])

    def close(self):
        self.channel.close()

    def call(self, method, timeout=20, **fields):
        request = self.REQUESTS[method](**fields)
        return self.channel.unary_unary("/espalier.v1.JobService/" + method,
                                        request_serializer=type(request).SerializeToString,
                                        response_deserializer=self.REPLIES[method].FromString)(request, timeout=timeout)

    def stream(self, method, timeout=PATIENCE, **fields):
        request = getattr(J, method + "Request")(**fields)
        return self.channel.unary_stream("/espalier.v1.JobService/" + method,
                                         request_serializer=type(request).SerializeToString,
                                         response_deserializer=self.REPLIES[method].FromString)(request, timeout=timeout)

    def report(self, timeout=20, **fields):
        return self.channel.unary_unary("/espalier.v1.ReportService/Report",
                                        request_serializer=R.ReportRequest.SerializeToString,
                                        response_deserializer=R.ReportReply.FromString)(R.ReportRequest(**fields),
                                                                                        timeout=timeout)


class Daemon:
    def __init__(self, *options, launcher="fake"):
        self.dir = tempfile.mkdtemp(prefix="espalier-d-")  # mode 0700
        atexit.register(shutil.rmtree, self.dir, ignore_errors=True)  # whatever fails before its own removal
        self.home = os.path.join(self.dir, "home")
        self.address = "unix:" + os.path.join(self.dir, "s")
        self.options = ["--cores", "2", "--memory", "1000000", "--launcher", launcher, "--retry-wait", "0", *options]
        self.process = self.client = self.env = None

    def argv(self):
        return [ESPALIERD, "--home", self.home, "--listen", self.address, *self.options]

    def start(self):
        self.log = open(os.path.join(self.dir, "daemon.log"), "ab")
        self.process = subprocess.Popen(self.argv(), env=self.env, stdout=subprocess.PIPE, stderr=self.log)
        line = self.process.stdout.readline().decode()
        if line != "listening on %s\n" % self.address:
            raise AssertionError("espalierd said %r\n%s" % (line, self.said()))
        if self.client:
            self.client.close()
        self.client = Client(self.address)  # an old channel would first find out that its connection is dead
        return self

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        code = self.process.wait(PATIENCE)
        self.process.stdout.close()
        self.log.close()
        return code

    def restart(self, how=signal.SIGKILL):
        self.end(how)
        return self.start()

    def said(self):
        path = os.path.join(self.dir, "daemon.log")
        if not os.path.exists(path):
            return ""
        with open(path, errors="replace") as f:
            return f.read()

    def remove(self):
        if self.process and self.process.poll() is None:
            code = self.end()
            if code != 0:
                raise AssertionError("espalierd ended with %d\n%s" % (code, self.said()))
        if "Sanitizer" in self.said() or "runtime error" in self.said():
            raise AssertionError(self.said())
        if self.client:
            self.client.close()
        shutil.rmtree(self.dir)

    # ---- jobs

    def submit(self, script="", request_id=None, top="", hold=False, **resources):
        """A job whose name is the fake launcher's script; top: further lines of its file."""
        text = "name: '%s'\ndata:\n  pretrain: /etc/hostname\n  vocabulary: /etc/hostname\n" % script
        text += top + "phases:\n  pretrain:\n    steps: 1000\n"
        if resources:
            text += "resources:\n" + "".join("  %s: %s\n" % kv for kv in resources.items())
        return self.client.call("Submit", job_file=text.encode(), file_name="job.yaml", folder="/tmp",
                                request_id=request_id or uuid.uuid4().hex, hold=hold).id

    def get(self, job):
        return self.client.call("Get", id=job).job

    def state(self, job):
        return state_name(self.get(job).state)

    def wait(self, job, *states):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            got = self.get(job)
            if state_name(got.state) in states:
                return got
            time.sleep(0.02)
        raise AssertionError("job %s is %s (%s), waited for %s\n%s" % (job, state_name(got.state), got.text, states,
                                                                     self.said()))

    def events(self, job="", after=0, follow=False):
        return list(self.client.stream("Watch", id=job, after=after, follow=follow))

    def changes(self, job):
        return [state_name(e.state.to) for e in self.events(job) if e.WhichOneof("kind") == "state"]

    def folder(self, job):
        return os.path.join(self.home, "jobs", job)

    def database(self):
        return sqlite3.connect(os.path.join(self.home, "espalier.db"), isolation_level=None, timeout=5)


def spool(job, attempt, *records):
    """The bytes of a spool file (docs/spec/worker-environment.md)."""
    def frame(kind, data):
        h = 0xcbf29ce484222325
        for b in data:
            h = ((h ^ b) * 0x100000001b3) & (2 ** 64 - 1)
        return kind + struct.pack("<IQ", len(data), h) + data
    out = frame(b"H", R.ReportRequest(job_id=job, attempt=attempt).SerializeToString())
    return out + b"".join(frame(b"R", r.SerializeToString()) for r in records)


class Case(unittest.TestCase):
    OPTIONS = ()
    LAUNCHER = "fake"

    def setUp(self):
        self.d = Daemon(*self.OPTIONS, launcher=self.LAUNCHER).start()

    @property
    def c(self):
        return self.d.client

    def tearDown(self):
        self.d.remove()

    def refused(self, code, part, call, *args, **kwargs):
        with self.assertRaises(grpc.RpcError) as caught:
            result = call(*args, **kwargs)
            if hasattr(result, "__iter__"):
                list(result)
        self.assertEqual(caught.exception.code(), getattr(grpc.StatusCode, code), caught.exception.details())
        self.assertIn(part, caught.exception.details())


def main():
    unittest.main(argv=sys.argv[:1] + sys.argv[5:], verbosity=2)
