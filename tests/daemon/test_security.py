"""Who gets in over the network and who may do what: every RPC by every role, tokens, files, secrets, roots, pace."""
import hashlib
import json
import os
import stat
import time

from bed import J, R, grpc, main
from net import DEADLINE, FIELDS, JOB_FILE, Network, methods

OPEN, LOOK, TOUCH, RULE = "open", "look", "touch", "rule"
ALLOWED = {"none": {OPEN}, "read-only": {OPEN, LOOK}, "user": {OPEN, LOOK, TOUCH},
           "operator": {OPEN, LOOK, TOUCH, RULE}}
# docs/ops/security.md. What is not here changes a job: a new RPC that only looks says so here too.
RIGHTS = dict.fromkeys(("Get", "List", "Watch", "Logs", "GetStructure", "ListStructures", "ListCheckpoints",
                        "VerifyCheckpoint", "Download", "Ping",
                        "Explain", "Nodes"), LOOK)
RIGHTS.update(dict.fromkeys(("AddToken", "ListTokens", "RevokeToken", "DrainNode", "Diagnose"), RULE), Report=OPEN)
# What an RPC says to a caller who is not allowed to call it.
SHUT = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


def right_of(name):
    return RIGHTS.get(name, TOUCH)


class Roles(Network):
    def test_every_rpc_by_every_role(self):
        roles = {"none": "stranger", "read-only": "eye", "user": "anna", "operator": "boss"}
        job = self.submit("anna")
        for method in methods():
            for role, who in roles.items():
                with self.subTest(method=method.name, role=role):
                    code, text = self.by[who].says(method, self.fields(method, job))
                    if right_of(method.name) in ALLOWED[role]:
                        if method.name != "Report":  # has a token of its own, which this one lacks
                            self.assertNotIn(code, SHUT, text)
                    elif role == "none":
                        self.assertEqual(code, grpc.StatusCode.UNAUTHENTICATED, text)
                        self.assertIn("a token is needed here", text)
                    else:
                        self.assertEqual(code, grpc.StatusCode.PERMISSION_DENIED, text)
                        self.assertIn("%s has the role %s, which may not call" % (who, role), text)

    def test_health_is_open_and_reflection_is_not(self):
        for path, code in (("/grpc.health.v1.Health/Check", None), ("/grpc.health.v1.Health/Watch", "UNAUTHENTICATED"),
                           ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "UNAUTHENTICATED"),
                           ("/no.such/Thing", "UNAUTHENTICATED")):
            call = self.by["stranger"].channel.unary_unary(path)
            if code:
                self.refused(code, "token", call, b"", timeout=DEADLINE)
            else:
                self.assertEqual(call(b"", timeout=DEADLINE), b"\x08\x01")
        call = self.by["eye"].channel.unary_unary("/no.such/Thing")
        self.refused("UNIMPLEMENTED", "no method", call, b"", timeout=DEADLINE, metadata=self.by["eye"].headers)

    def test_people_see_and_touch_their_own_jobs(self):
        hers, his = self.submit("anna", "steps=1000 step_ms=50"), self.submit("bert")
        own = self.by["anna"].call(self.method["Get"], {"id": hers}).job
        self.assertEqual(own.owner, "anna")
        for method in methods():
            if "id" not in method.input_type.fields_by_name:
                continue
            with self.subTest(method=method.name):
                code, text = self.by["bert"].says(method, self.fields(method, hers))
                self.assertEqual(code, grpc.StatusCode.PERMISSION_DENIED, text)
                self.assertIn("job %s is somebody else's" % hers, text)
                self.assertNotIn("anna", text)
        listed = lambda who: {j.id for j in self.by[who].call(self.method["List"], {}).jobs}
        self.assertEqual((listed("anna"), listed("bert")), ({hers}, {his}))
        self.assertEqual((listed("boss"), listed("eye")), ({hers, his}, {hers, his}))
        self.assertEqual(self.by["anna"].call(self.method["Get"], {"id": "last"}).job.id, hers)
        self.assertEqual(self.by["eye"].call(self.method["Get"], {"id": "last"}).job.id, his)
        self.assertEqual(self.by["boss"].says(self.method["Cancel"], {"id": hers})[0], grpc.StatusCode.OK)
        self.d.wait(hers, "CANCELLED")

    def test_who_is_in_front_is_not_told(self):
        runs = self.submit("boss", "steps=1000 step_ms=50")
        self.d.wait(runs, "RUNNING")
        large = self.by["anna"].call(self.method["Submit"], {
            "job_file": JOB_FILE % b"steps=1", "folder": self.d.root, "request_id": "large",
            "overrides": [J.Override(key="resources.ranks", value="2")]}).id
        small = self.submit("bert")
        said = {who: str(self.by[who].call(self.method["Explain"], {"id": small})) for who in ("bert", "boss")}
        self.assertIn("room is free, but it is kept for a job of others (", said["bert"])
        self.assertNotIn("hold", said["bert"])
        self.assertIn("room is free, but it is kept for job %s (" % large, said["boss"])

    def test_events_of_all_jobs_are_those_of_the_own(self):
        hers, his = self.submit("anna"), self.submit("bert")
        for job in (hers, his):
            self.d.wait(job, "COMPLETED")
        for who, jobs in (("anna", {hers}), ("bert", {his}), ("eye", {hers, his}), ("boss", {hers, his})):
            stream = self.by[who].raw(self.method["Watch"], b"")
            self.assertEqual({J.Event.FromString(e).job_id for e in stream}, jobs, who)

    def test_request_ids_do_not_give_away_jobs(self):
        fields = {"job_file": JOB_FILE % b"steps=1", "folder": self.d.root, "request_id": "shared"}
        hers = self.by["anna"].call(self.method["Submit"], fields).id
        self.assertEqual(self.by["anna"].call(self.method["Submit"], fields).id, hers)
        code, text = self.by["bert"].says(self.method["Submit"], fields)
        self.assertEqual(code, grpc.StatusCode.ALREADY_EXISTS)
        self.assertEqual(text, "the request id shared was used by somebody else; choose a new one")


class Tokens(Network):
    def test_a_revoked_token_lets_in_no_more(self):
        job = self.submit("anna", "steps=1000 step_ms=50")
        self.d.wait(job, "RUNNING")
        stream = self.by["anna"].raw(self.method["Watch"], J.WatchRequest(id=job, follow=True).SerializeToString())
        next(stream)
        self.d.client.call("RevokeToken", name="anna")
        with self.assertRaises(grpc.RpcError) as caught:
            list(stream)
        self.assertEqual(caught.exception.details(), "the token was revoked")
        code, text = self.by["anna"].says(self.method["Ping"], {})
        self.assertEqual(code, grpc.StatusCode.UNAUTHENTICATED)
        self.assertIn("unknown, revoked or expired", text)
        self.refused("NOT_FOUND", "no token in force", self.d.client.call, "RevokeToken", name="anna")
        again = self.d.bearer(self.d.add("anna", J.ROLE_USER))
        self.assertEqual(again.call(self.method["Get"], {"id": job}).job.owner, "anna")
        self.d.restart()
        old, new = self.d.bearer(self.tokens["anna"]), self.d.bearer(again.headers[0][1][7:])
        self.assertEqual(old.says(self.method["Ping"], {})[0], grpc.StatusCode.UNAUTHENTICATED)
        self.assertEqual(new.says(self.method["Ping"], {})[0], grpc.StatusCode.OK)
        self.d.client.call("Cancel", id=job)

    def test_a_token_expires(self):
        soon = self.d.bearer(self.d.add("guest", J.ROLE_READ_ONLY, expires_ms=int(time.time() * 1000) + 3000))
        self.assertEqual(soon.says(self.method["Ping"], {})[0], grpc.StatusCode.OK)
        job = self.submit("anna", "steps=1000 step_ms=50")
        stream = soon.raw(self.method["Watch"], J.WatchRequest(id=job, follow=True).SerializeToString())
        next(stream)
        with self.assertRaises(grpc.RpcError) as caught:
            list(stream)
        self.assertEqual(caught.exception.details(), "the token has expired")
        self.d.client.call("Cancel", id=job)
        self.assertEqual(soon.says(self.method["Ping"], {})[0], grpc.StatusCode.UNAUTHENTICATED)

    def test_only_the_hash_is_kept(self):
        with self.d.database() as db:
            kept = "\n".join(db.iterdump())
        for name, token in self.tokens.items():
            self.assertIn(hashlib.sha256(token.encode()).hexdigest(), kept)
            self.assertNotIn(token, kept)
            self.assertNotIn(token, self.d.said())
        names = [t.name for t in self.d.client.call("ListTokens").tokens]
        self.assertEqual(sorted(names), ["anna", "bert", "boss", "eye"])
        self.assertFalse([f for f in J.Token.DESCRIPTOR.fields if "sha" in f.name])

    def test_what_is_no_token(self):
        for value in ("Bearer", "Bearer ", "Basic eDp5", "Bearer " + "x" * 5000, "Bearer " + self.tokens["anna"][:-1]):
            method = self.method["Ping"]
            bearer = self.d.bearer()
            bearer.headers = [("authorization", value)]
            self.assertEqual(bearer.says(method, {})[0], grpc.StatusCode.UNAUTHENTICATED, value)
        self.assertEqual(self.d.said().count("refused 1 call without a valid token, the last from ipv4:127.0.0.1"), 1)
        self.assertEqual(self.d.said().count("refused"), 1)  # once a minute

    def test_bad_requests_for_tokens(self):
        add = lambda **fields: self.d.client.call("AddToken", **{**FIELDS["AddToken"], **fields})
        self.refused("INVALID_ARGUMENT", "is no name for a token", add, name="")
        self.refused("INVALID_ARGUMENT", "is no name for a token", add, name="a b")
        self.refused("INVALID_ARGUMENT", "is no name for a token", add, name="x" * 64)
        self.refused("INVALID_ARGUMENT", "role is 0", add, role=0)
        self.refused("INVALID_ARGUMENT", "role is 9", add, role=9)
        self.refused("INVALID_ARGUMENT", "must be 64 hexadecimal digits", add, sha256="ab")
        self.refused("INVALID_ARGUMENT", "which is over", add, expires_ms=1)
        self.refused("ALREADY_EXISTS", "anna has a token already", add, name="anna")
        known = hashlib.sha256(self.tokens["anna"].encode()).hexdigest()
        self.refused("ALREADY_EXISTS", "was given out before", add, name="carl", sha256=known)
        self.assertEqual(add().token.created_ms, add().token.created_ms)  # the answer was lost, the request comes again


def walk(folder):
    for path, folders, files in os.walk(folder):
        for name in folders + files:
            yield os.path.join(path, name)


class Files(Network):
    def test_everything_is_closed_to_others(self):
        job = self.submit("anna", "steps=2 step_ms=10")
        self.d.wait(job, "COMPLETED")
        seen = set()
        for path in walk(self.d.home):
            mode = os.lstat(path).st_mode
            self.assertEqual(mode & 0o077, 0, "%s has mode %o" % (path, mode))
            seen.add(os.path.basename(path))
        self.assertLessEqual({"espalier.db", "attempt.json", "job.yaml", "lock"}, seen)
        self.assertEqual(stat.S_IMODE(os.stat(self.d.address[5:]).st_mode), 0o600)

    def test_no_secret_is_in_sight(self):
        job = self.submit("anna", "report=0 steps=1 step_ms=60000")
        self.d.wait(job, "STARTING")
        with open(os.path.join(self.d.folder(job), "attempt.json")) as f:
            secret = [json.load(f)["token"], *self.tokens.values()]
        for name in ("cmdline", "environ"):
            with open("/proc/%d/%s" % (self.d.process.pid, name), "rb") as f:
                shown = f.read().decode(errors="replace")
            self.assertFalse([s for s in secret if s in shown])
        self.assertFalse([s for s in secret if s in self.d.said()])
        got = self.d.client.call("Get", id=job)
        self.assertFalse([s for s in secret if s in str(got)])
        self.assertFalse([s for s in secret if s in str(self.d.events(job))])
        self.d.client.call("Cancel", id=job)

    def test_paths_stay_under_the_roots(self):
        text = b"data:\n  pretrain: data\n  vocabulary: /etc/hostname\nphases.pretrain.steps: 10\n"
        reply = self.by["anna"].call(self.method["Validate"], {"job_file": text, "folder": self.d.root})
        said = [(f.line, f.key) for f in reply.findings if "lies outside the folders" in f.text]
        self.assertEqual(said, [(3, "data.vocabulary")])
        os.symlink("/etc/hostname", os.path.join(self.d.root, "link"))
        text = text.replace(b"/etc/hostname", b"link")
        code, said = self.by["anna"].says(self.method["Submit"], {"job_file": text, "folder": self.d.root,
                                                                  "request_id": "r", "file_name": "job.yaml"})
        self.assertEqual(code, grpc.StatusCode.INVALID_ARGUMENT)
        self.assertIn("job.yaml:3:15: error: data.vocabulary: %s/link is a link that leads out of" % self.d.root, said)


class Far(Network):
    """Ranks on other machines: their report over TLS needs no token but that of their attempt."""

    def setUp(self):
        super().setUp()
        self.d.end()
        self.address = "tls:127.0.0.1:%d" % self.d.port
        self.d.options += ["--tls-report-address", self.address, "--tls-report-ca", self.d.cert]
        self.d.start()
        self.by["boss"] = self.d.bearer(self.tokens["boss"])

    def test_reports_come_in_by_the_attempts_token(self):
        job = self.submit("boss", "report=0 steps=1 step_ms=60000")
        self.d.wait(job, "STARTING")
        with open(os.path.join(self.d.folder(job), "attempt.json")) as f:
            attempt = json.load(f)
        self.assertEqual((attempt["report_address"], attempt["report_ca"]), (self.address, self.d.cert))
        stranger, report = self.d.bearer(), self.method["Report"]
        fields = {"job_id": job, "attempt": 1, "token": attempt["token"],
                  "records": [R.Record(number=1, hello=R.Hello(host="far"))]}
        self.assertEqual(stranger.call(report, fields).acknowledged, 1)
        self.assertEqual(self.d.state(job), "RUNNING")
        code, text = stranger.says(report, {**fields, "token": "0" * 64})
        self.assertEqual((code, text), (grpc.StatusCode.PERMISSION_DENIED,
                                        "the token is not that of attempt 1 of job %s" % job))
        self.d.client.call("Cancel", id=job)
        self.d.wait(job, "CANCELLED")
        self.assertEqual(stranger.says(report, fields)[0], grpc.StatusCode.FAILED_PRECONDITION)


class Pace(Network):
    OPTIONS = ("--limits-call-rate", "5")

    def test_calls_a_second(self):
        codes = [self.by["anna"].says(self.method["Ping"], {}) for _ in range(40)]
        refused = [text for code, text in codes if code == grpc.StatusCode.RESOURCE_EXHAUSTED]
        self.assertGreater(len(refused), 5)
        self.assertIn("more than 5 calls a second", refused[0])
        # Others have a bucket of their own, and so has the socket none.
        self.assertEqual(self.by["bert"].says(self.method["Ping"], {})[0], grpc.StatusCode.OK)
        for _ in range(40):
            self.d.client.call("Ping")
        time.sleep(1)
        self.assertEqual(self.by["anna"].says(self.method["Ping"], {})[0], grpc.StatusCode.OK)


if __name__ == "__main__":
    main()
