"""espalierd on the network, and clients that call any method of the contract by its descriptor: a new RPC takes part
without a word here. One that needs more than a job's id to get as far as looking for the job gets its fields in FIELDS.
"""
import hashlib
import os
import secrets
import subprocess
import uuid

from bed import J, R, Case, Daemon, grpc

JOB_FILE = b"data:\n  pretrain: data\n  vocabulary: words\nphases.pretrain.steps: 1000\nname: '%s'\n"
# Fields that a call needs to be about the job at all.
FIELDS = {"Submit": {"job_file": JOB_FILE % b"steps=1", "folder": "ROOT", "request_id": "matrix"},
          "Validate": {"job_file": JOB_FILE % b"", "folder": "ROOT"},
          "AddToken": {"name": "new", "role": 1, "sha256": "0" * 64},
          "Download": {"name": "export/none"}, "RevokeToken": {"name": "nobody"},
          "DrainNode": {"host": "nowhere"}}
DEADLINE = 30


def services():
    return [J.DESCRIPTOR.services_by_name["JobService"], R.DESCRIPTOR.services_by_name["ReportService"]]


def methods():
    return [m for s in services() for m in s.methods]


class Net(Daemon):
    """A daemon with a tls: address, and clients by token."""

    def __init__(self, *options):
        super().__init__("--listen", "tls:127.0.0.1:0", *options)
        self.root = os.path.join(self.dir, "root")
        os.mkdir(self.root)
        for name in ("data", "words"):
            with open(os.path.join(self.root, name), "w") as f:
                f.write("{}")
        self.cert, self.key = os.path.join(self.dir, "cert.pem"), os.path.join(self.dir, "key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-days", "2", "-keyout", self.key, "-out", self.cert, "-subj", "/CN=test", "-addext",
                        "subjectAltName=IP:127.0.0.1"], check=True, stderr=subprocess.DEVNULL)
        os.chmod(self.key, 0o600)
        self.options += ["--tls-cert", self.cert, "--tls-key", self.key, "--roots", self.root]
        self.channels = []

    def start(self):
        super().start()
        line = self.process.stdout.readline().decode()
        self.port = int(line.rsplit(":", 1)[1])
        with open(self.cert, "rb") as f:
            self.credentials = grpc.ssl_channel_credentials(f.read())
        return self

    def add(self, name, role, **more):
        """A token, made as its bearer would make it."""
        token = secrets.token_hex(32)
        self.client.call("AddToken", name=name, role=role, sha256=hashlib.sha256(token.encode()).hexdigest(), **more)
        return token

    def bearer(self, token=None):
        return Bearer(self, token)

    def remove(self):
        for channel in self.channels:
            channel.close()
        super().remove()


class Bearer:
    """Calls any method of the contract over TLS, with a token or without."""

    def __init__(self, net, token):
        self.channel = grpc.secure_channel("127.0.0.1:%d" % net.port, net.credentials,
                                           options=[("grpc.use_local_subchannel_pool", 1)])
        self.headers = [("authorization", "Bearer " + token)] if token is not None else []
        net.channels.append(self.channel)

    def raw(self, method, data, timeout=DEADLINE, **kwargs):
        path = "/%s/%s" % (method.containing_service.full_name, method.name)
        if method.server_streaming:
            return self.channel.unary_stream(path)(data, timeout=timeout, metadata=self.headers, **kwargs)
        return self.channel.unary_unary(path)(data, timeout=timeout, metadata=self.headers, **kwargs)

    def call(self, method, fields, **kwargs):
        """The first message of the answer, or None."""
        request = message_of(method.input_type)(**fields)
        answer = self.raw(method, request.SerializeToString(), **kwargs)
        if not method.server_streaming:
            return message_of(method.output_type).FromString(answer)
        try:
            for data in answer:
                return message_of(method.output_type).FromString(data)
        finally:
            answer.cancel()

    def says(self, method, fields, **kwargs):
        """Status and sentence."""
        try:
            self.call(method, fields, **kwargs)
            return grpc.StatusCode.OK, ""
        except grpc.RpcError as e:
            return e.code(), e.details()


def message_of(descriptor):
    return getattr(J, descriptor.name, None) or getattr(R, descriptor.name)


class Network(Case):
    OPTIONS = ("--limits-call-rate", "1000000")

    def setUp(self):
        self.d = Net(*self.OPTIONS).start()
        roles = {"anna": J.ROLE_USER, "bert": J.ROLE_USER, "eye": J.ROLE_READ_ONLY, "boss": J.ROLE_OPERATOR}
        self.tokens = {name: self.d.add(name, role) for name, role in roles.items()}
        self.by = {name: self.d.bearer(token) for name, token in self.tokens.items()}
        self.by["stranger"] = self.d.bearer()
        self.method = {m.name: m for m in methods()}

    def fields(self, method, job=None):
        out = {k: self.d.root if v == "ROOT" else v for k, v in FIELDS.get(method.name, {}).items()}
        if "id" in method.input_type.fields_by_name and job is not None:
            out["id"] = job
        if method.name == "Submit":
            out["request_id"] = uuid.uuid4().hex
        return out

    def submit(self, who, script="steps=1"):
        fields = {"job_file": JOB_FILE % script.encode(), "folder": self.d.root, "request_id": uuid.uuid4().hex}
        return self.by[who].call(self.method["Submit"], fields).id
