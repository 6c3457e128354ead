"""espalierd over the wire: what every RPC gives and what it refuses."""
import hashlib
import json
import os
import time

from bed import J, R, Case, grpc, main, spool, state_name


class Jobs(Case):
    def test_a_job_runs_to_its_end(self):
        job = self.d.submit("steps=3 step_ms=30")
        got = self.d.wait(job, "COMPLETED")
        self.assertEqual(self.d.changes(job), ["QUEUED", "SUBMITTED", "STARTING", "RUNNING", "COMPLETED"])
        self.assertEqual((got.attempt, got.exit_code, got.progress.step, got.reason), (1, 0, 3, ""))
        self.assertTrue(0 < got.submitted_ms <= got.started_ms <= got.ended_ms)
        self.assertEqual(got.last_event, self.d.events(job)[-1].cursor)
        self.assertEqual(self.d.get("last").id, job)
        self.assertIn(b"steps=3", got.job_file)
        self.assertEqual(self.c.call("Ping").jobs_running, 0)

    def test_the_same_request_is_one_job(self):
        job = self.d.submit("steps=1", request_id="r")
        self.assertEqual(self.d.submit("steps=1", request_id="r"), job)
        self.d.restart()
        self.assertEqual(self.d.submit("steps=1", request_id="r"), job)
        self.refused("ALREADY_EXISTS", "was used for job %s" % job, self.d.submit, "steps=2", request_id="r")
        self.refused("INVALID_ARGUMENT", "must have 1 to 64", self.d.submit, "steps=2", request_id="x" * 65)

    def test_all_faults_of_a_job_file_at_once(self):
        bad = b"nam: x\ntrain:\n  batch: zero\n"
        self.refused("INVALID_ARGUMENT", "bad.yaml:1:", self.c.call, "Submit", job_file=bad, file_name="bad.yaml",
                     folder="/tmp", request_id="q")
        reply = self.c.call("Validate", job_file=bad, file_name="bad.yaml", folder="/tmp")
        keys = [f.key for f in reply.findings if f.severity == J.SEVERITY_ERROR]
        self.assertIn("nam", keys)
        self.assertIn("train.batch", keys)
        self.assertFalse(reply.HasField("plan"))
        self.refused("INVALID_ARGUMENT", "absolute folder", self.c.call, "Validate", job_file=bad, folder="here")
        for junk in (b"", b"\x00\xff" * 500, b"[" * 100000, b"a: &a [*a]\n"):
            self.assertTrue(self.c.call("Validate", job_file=junk, folder="/tmp").findings)
        self.refused("INVALID_ARGUMENT", "at most 1048576", self.c.call, "Validate", job_file=b"#" * (2 << 20),
                     folder="/tmp")

    def test_what_never_fits_is_refused_with_the_numbers(self):
        self.refused("RESOURCE_EXHAUSTED", "needs 6 cores (2 ranks x 3 threads) and this daemon has 2", self.d.submit,
                     ranks=2, threads=3)
        self.refused("RESOURCE_EXHAUSTED", "GPUs", self.d.submit, gpus=1)
        self.refused("RESOURCE_EXHAUSTED", "2000000 MiB of memory", self.d.submit, memory_mib=2000000)
        self.assertEqual(len(self.c.call("List").jobs), 0)

    def test_the_node_decides_how_many_run(self):
        first = [self.d.submit("steps=100 step_ms=100") for _ in range(2)]
        low = self.d.submit("steps=1", priority=10)
        high = self.d.submit("steps=1", priority=90)
        for job in first:
            self.d.wait(job, "RUNNING")
        ping = self.c.call("Ping")
        self.assertEqual((ping.cores, ping.jobs_running, ping.jobs_queued), (2, 2, 2))
        self.assertEqual((self.d.state(low), self.d.state(high)), ("QUEUED", "QUEUED"))
        self.c.call("Cancel", id=first[0])
        self.d.wait(first[0], "CANCELLED")
        done_high, done_low = self.d.wait(high, "COMPLETED"), self.d.wait(low, "COMPLETED")
        self.assertLess(done_high.started_ms, done_low.started_ms)
        self.c.call("Cancel", id=first[1])

    def test_attempts_are_spent_then_it_failed(self):
        job = self.d.submit("steps=5 step_ms=10 die_at=2 die_attempts=1 signal=9")
        self.assertEqual(self.d.wait(job, "COMPLETED").attempt, 2)
        self.assertIn("REQUEUED", self.d.changes(job))
        job = self.d.submit("steps=5 step_ms=10 die_at=2 die_attempts=9 signal=9")
        got = self.d.wait(job, "FAILED")
        self.assertEqual((got.attempt, got.reason, got.exit_code), (3, "rank_lost", 137))
        self.assertIn("attempt 3, the last", got.text)
        job = self.d.submit("steps=2 step_ms=10 done=0")
        self.assertEqual(self.d.wait(job, "FAILED").reason, "no_done_record")
        job = self.d.submit("refuse=1")
        got = self.d.wait(job, "FAILED")
        self.assertEqual((got.reason, got.attempt), ("launch_failed", 1))

    def test_cancel(self):
        job = self.d.submit("steps=1000 step_ms=100")
        self.d.wait(job, "RUNNING")
        self.assertEqual(state_name(self.c.call("Cancel", id=job, text="no longer needed").state), "STOPPING")
        got = self.d.wait(job, "CANCELLED")
        self.assertEqual(got.reason, "cancelled")
        self.assertIn("no longer needed", [e.state.text for e in self.d.events(job)])
        self.refused("FAILED_PRECONDITION", "is over (CANCELLED)", self.c.call, "Cancel", id=job)

    def test_lists_in_pages(self):
        jobs = [self.d.submit("steps=1 step_ms=1") for _ in range(7)]
        seen, token = [], ""
        while True:
            reply = self.c.call("List", page_size=3, page_token=token)
            seen += [j.id for j in reply.jobs]
            token = reply.next_page_token
            if not token:
                break
        self.assertEqual(seen, jobs[::-1])
        for job in jobs:
            self.d.wait(job, "COMPLETED")
        done = self.c.call("List", states=[J.JOB_STATE_COMPLETED])
        self.assertEqual(len(done.jobs), 7)
        self.assertEqual(done.jobs[0].progress.step, 1)
        self.assertEqual(len(self.c.call("List", states=[J.JOB_STATE_FAILED]).jobs), 0)
        self.refused("INVALID_ARGUMENT", "page_token", self.c.call, "List", page_token="junk")
        self.refused("INVALID_ARGUMENT", "1 to 1000", self.c.call, "List", page_size=1001)
        self.refused("INVALID_ARGUMENT", "no job state", self.c.call, "List", states=[99])

    def test_unknown_and_malformed_ids(self):
        self.refused("NOT_FOUND", "there is no job yet", self.c.call, "Get", id="last")
        for method in ("Get", "Cancel", "GetStructure"):
            self.refused("NOT_FOUND", "no job 42; list them with `espalier jobs`", self.c.call, method, id="42")
            self.refused("INVALID_ARGUMENT", "no job id", self.c.call, method, id="-1")
            self.refused("INVALID_ARGUMENT", "no job id", self.c.call, method, id="1; DROP TABLE jobs")
        for method in ("Watch", "Logs", "Download"):
            self.refused("NOT_FOUND", "no job 42", self.c.stream, method, id="42")
        self.refused("INVALID_ARGUMENT", "no job id", self.c.call, "Get", id="99999999999999999999")

    def test_set_values_have_a_size(self):
        file = b"name: x\nmodel: {variant: tiny}\n"
        long = [J.Override(key="name", value="x" * 5000)]
        self.refused("INVALID_ARGUMENT", "--set name has 5004 bytes, at most 4096", self.c.call, "Submit",
                     job_file=file, folder="/", request_id="long", overrides=long)
        many = [J.Override(key="name", value="x" * 4000)] * 200
        self.refused("INVALID_ARGUMENT", "have 800800 bytes together, at most 524288", self.c.call, "Validate",
                     job_file=file, folder="/", overrides=many)

    def test_hostile_calls_leave_it_alive(self):
        self.refused("RESOURCE_EXHAUSTED", "", self.c.call, "Get", id="x" * (9 << 20))
        job = self.d.submit("steps=1000 step_ms=50")
        self.d.wait(job, "RUNNING")
        for _ in range(50):  # clients that go away in the middle of a stream
            stream = self.c.stream("Watch", id=job, follow=True)
            next(stream)
            stream.cancel()
        for _ in range(20):
            try:
                self.c.call("Get", id=job, timeout=0.001)
            except grpc.RpcError as e:
                self.assertEqual(e.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.assertEqual(self.d.state(job), "RUNNING")
        self.c.call("Cancel", id=job, text="ä" * 4000)
        self.assertEqual(self.d.wait(job, "CANCELLED").text, "")
        long = [e.state.text for e in self.d.events(job) if e.state.text]
        self.assertEqual(long, ["ä" * 511])


class Ladder(Case):
    OPTIONS = ("--stop-term", "1", "--stop-kill", "2", "--retries", "0")

    def test_what_is_deaf_is_killed(self):
        deaf, deafer = self.d.submit("steps=1000 step_ms=100 deaf=1"), self.d.submit("steps=1000 step_ms=100 deaf=2")
        for job in (deaf, deafer):
            self.d.wait(job, "RUNNING")
            self.c.call("Cancel", id=job)
        self.assertEqual(self.d.wait(deaf, "CANCELLED").exit_code, 143)
        self.assertEqual(self.d.wait(deafer, "CANCELLED").exit_code, 137)

    def test_nothing_known_is_no_end(self):
        job = self.d.submit("silent=1")
        self.d.wait(job, "UNREACHABLE")
        self.d.restart()
        self.assertEqual(self.d.state(job), "UNREACHABLE")


class Worker(Case):
    """The test plays the worker: an attempt that the launcher only keeps alive."""
    OPTIONS = ("--retries", "0")

    def begin(self, ms=60000):
        job = self.d.submit("report=0 steps=1 step_ms=%d" % ms)
        path = os.path.join(self.d.folder(job), "attempt.json")
        self.d.wait(job, "STARTING")
        with open(path) as f:
            attempt = json.load(f)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        self.assertEqual(os.stat(self.d.folder(job)).st_mode & 0o777, 0o700)
        with open(os.path.join(self.d.folder(job), "checkpoints", "fence")) as f:
            self.assertEqual(f.read(), "1\n")
        self.ids = {"job_id": job, "attempt": attempt["attempt"], "token": attempt["token"]}
        return job

    def report(self, *records, **other):
        return self.c.report(**{**self.ids, **other}, records=records)

    def test_reports_become_events_and_results(self):
        job = self.begin()
        sent = [R.Record(number=1, hello=R.Hello(host="h", ranks=1)),
                R.Record(number=2, progress=J.Progress(phase="task", step=5, steps=10, loss=0.5)),
                R.Record(number=3, metric=J.Metric(name="eval.p1", value=0.75, unit="fraction")),
                R.Record(number=4, structure=R.StructureVersion(total_step=5, params_kept=.9, structure_json=b"{1}")),
                R.Record(number=5, structure=R.StructureVersion(total_step=6, params_kept=.9, structure_json=b"{1}")),
                R.Record(number=7, checkpoint=J.CheckpointNote(path="checkpoints/c", sha256="0" * 64)),
                R.Record(number=8, phase_done=J.PhaseTime(phase="task", seconds=2.5)),
                R.Record(number=9, note=J.Note(text="a note"))]
        self.assertEqual(self.report(*sent).acknowledged, 9)
        before = self.d.events(job)
        self.assertEqual(self.report(*sent).acknowledged, 9)  # sent twice, taken once
        self.assertEqual(len(self.d.events(job)), len(before))
        kinds = [e.WhichOneof("kind") for e in before]
        for kind, n in (("progress", 1), ("metric", 1), ("structure", 1), ("checkpoint", 1), ("note", 2)):
            self.assertEqual(kinds.count(kind), n, kind)
        got = self.d.get(job)
        self.assertEqual((state_name(got.state), got.progress.loss), ("RUNNING", 0.5))
        self.assertEqual([(p.phase, p.seconds) for p in got.phase_times], [("task", 2.5)])
        s = self.c.call("GetStructure", id=job)
        self.assertEqual((s.version, s.structure_json, s.total_step), (1, b"{1}", 5))
        self.refused("NOT_FOUND", "no structure version 2", self.c.call, "GetStructure", id=job, version=2)

    def test_numbers_that_cannot_be_kept_are_dropped_aloud(self):
        job = self.begin()
        nan, inf, huge = float("nan"), float("inf"), 2 ** 64 - 1
        bad = [{"phase_done": J.PhaseTime(phase="task", seconds=nan)}, {"phase_done": J.PhaseTime(phase="task", seconds=-1)},
               {"phase_done": J.PhaseTime(phase="task", seconds=1e300)}, {"metric": J.Metric(name="m", value=inf)},
               {"structure": R.StructureVersion(params_kept=nan, structure_json=b"{}")}, {"hello": R.Hello(resumed_step=huge)},
               {"checkpoint": J.CheckpointNote(path="checkpoints/c", sha256="0" * 64, metric_name="p1", metric=-inf)},
               {"checkpoint": J.CheckpointNote(path="checkpoints/c", sha256="0" * 64, attempt=2 ** 32 - 1)},
               {"artifact": J.Artifact(name="a", sha256="0" * 64, size_bytes=huge)}]
        sent = [R.Record(number=i + 1, **kind) for i, kind in enumerate(bad)]
        self.assertEqual(self.report(*sent).acknowledged, len(bad))
        notes = [e.note.text for e in self.d.events(job) if e.WhichOneof("kind") == "note"]
        self.assertEqual(["was dropped: " in text for text in notes], [True] * len(bad), notes)
        got = self.d.get(job)
        self.assertEqual((len(got.phase_times), len(got.artifacts)), (0, 0))
        self.assertEqual(len(self.c.call("ListCheckpoints", id=job).checkpoints), 0)
        # Progress is taken whatever its numbers are: silence would look like a stall.
        for number, eta, said in ((20, nan, "it runs"), (21, 1e300, "it runs: task, step 1 of 0, about 277777777 h")):
            wild = J.Progress(phase="task", total_step=1, loss=nan, step_seconds=nan, params_kept=-inf, eta_seconds=eta, time_ms=-2 ** 63)
            self.assertEqual(self.report(R.Record(number=number, time_ms=-5, progress=wild)).acknowledged, number)
            self.assertIn(said, self.c.call("Explain", id=job).summary)
        now = self.d.get(job).progress
        self.assertEqual((now.total_step, now.step_seconds, now.params_kept), (1, 0, 0))
        self.assertGreater(now.time_ms, 0)

    def test_who_may_report(self):
        job = self.begin()
        hello = R.Record(number=1, hello=R.Hello())
        self.refused("PERMISSION_DENIED", "token", self.report, hello, token="0" * 64)
        self.refused("PERMISSION_DENIED", "token", self.report, hello, token="")
        # Who has no token is told nothing, not even what is there.
        self.refused("PERMISSION_DENIED", "the token is not that of attempt 2 of job " + job, self.report, hello, attempt=2)
        self.refused("PERMISSION_DENIED", "the token is not that of attempt 1 of job 99", self.report, hello, job_id="99")
        self.refused("INVALID_ARGUMENT", "must ascend", self.report, hello, hello)
        self.refused("INVALID_ARGUMENT", "must ascend", self.report, R.Record(number=0))
        self.refused("INVALID_ARGUMENT", "at most 1000", self.report,
                     *[R.Record(number=i + 1) for i in range(1001)])
        self.assertEqual(self.d.state(job), "STARTING")
        self.c.call("Cancel", id=job)
        self.d.wait(job, "CANCELLED")
        self.refused("FAILED_PRECONDITION", "CANCELLED", self.report, hello)
        self.refused("PERMISSION_DENIED", "token", self.report, hello, token="0" * 64)
        self.c.call("Retry", id=job)
        self.d.wait(job, "STARTING")  # with a second attempt, and the first one's worker is told to end
        self.refused("FAILED_PRECONDITION", "its newest attempt is 2", self.report, hello)

    def test_the_reply_asks_for_the_end(self):
        job = self.d.submit("report=0 deaf=1 steps=1 step_ms=60000")
        self.d.wait(job, "STARTING")
        with open(os.path.join(self.d.folder(job), "attempt.json")) as f:
            self.ids = {"job_id": job, "attempt": 1, "token": json.load(f)["token"]}
        self.assertFalse(self.report(R.Record(number=1, hello=R.Hello())).stop)
        self.c.call("Cancel", id=job)
        reply = self.report()
        self.assertEqual((reply.stop, reply.stop_reason, reply.acknowledged), (True, "cancelled", 1))

    def test_results_are_downloaded_whole(self):
        job = self.begin()
        data = os.urandom(700000)
        folder = self.d.folder(job)
        for name, content in (("export/m.bin", data), ("export/empty", b"")):
            with open(os.path.join(folder, name), "wb") as f:
                f.write(content)
        os.symlink("/etc/hostname", os.path.join(folder, "export/link"))
        sha = hashlib.sha256(data).hexdigest()
        artifact = lambda n, name, size, h: R.Record(number=n, artifact=J.Artifact(name=name, size_bytes=size, sha256=h))
        self.report(artifact(1, "export/m.bin", len(data), sha),
                    artifact(2, "export/empty", 0, hashlib.sha256(b"").hexdigest()),
                    artifact(3, "export/link", os.path.getsize("/etc/hostname"), sha),
                    artifact(4, "../../espalier.db", 1, sha), artifact(5, "/etc/hostname", 1, sha),
                    artifact(6, "export/x", 1, "no hash"))
        self.assertEqual([a.name for a in self.d.get(job).artifacts], ["export/empty", "export/link", "export/m.bin"])
        chunks = list(self.c.stream("Download", id=job, name="export/m.bin"))
        self.assertEqual(b"".join(c.data for c in chunks), data)
        self.assertEqual([c.sha256 for c in chunks], ["", "", sha])
        rest = list(self.c.stream("Download", id=job, name="export/m.bin", offset_bytes=699990))
        self.assertEqual(b"".join(c.data for c in rest), data[699990:])
        self.assertEqual(len(list(self.c.stream("Download", id=job, name="export/empty"))), 1)
        for name in ("../../espalier.db", "/etc/hostname", "job.yaml", "export"):
            self.refused("NOT_FOUND", "no result file", self.c.stream, "Download", id=job, name=name)
        self.refused("PERMISSION_DENIED", "leads out", self.c.stream, "Download", id=job, name="export/link")
        self.refused("INVALID_ARGUMENT", "beyond", self.c.stream, "Download", id=job, name="export/m.bin",
                     offset_bytes=700001)
        with open(os.path.join(folder, "export/m.bin"), "ab") as f:
            f.write(b"x")
        self.refused("DATA_LOSS", "was changed", self.c.stream, "Download", id=job, name="export/m.bin")

    def test_logs_follow_in_whole_lines(self):
        job = self.begin(1500)
        path = os.path.join(self.d.folder(job), "log.txt")
        with open(path, "ab", buffering=0) as f:
            f.write(b"one\ntwo\nthr")
            self.assertEqual(b"".join(c.text for c in self.c.stream("Logs", id=job)), b"one\ntwo\nthr")
            stream = self.c.stream("Logs", id=job, after=4, follow=True)
            first = next(stream)
            self.assertEqual((first.text, first.next), (b"two\n", 8))
            f.write(b"ee\nlast without end")
        self.assertEqual(b"".join(c.text for c in stream), b"three\nlast without end")
        self.assertEqual(self.d.wait(job, "FAILED").reason, "no_done_record")
        self.assertIn("three | last without end", self.d.get(job).text)

    def test_a_spooled_end_record_counts(self):
        done = R.Record(number=4, done=R.Done(success=True))
        nan = R.Record(number=3, phase_done=J.PhaseTime(phase="task", seconds=float("nan")))  # keeps no attempt from ending
        job = self.begin(1000)
        self.report(R.Record(number=1, hello=R.Hello()))
        with open(os.path.join(self.d.folder(job), "spool", "attempt-1"), "wb") as f:
            f.write(spool(job, 1, R.Record(number=1, hello=R.Hello()), R.Record(number=2, note=J.Note(text="late")), nan, done))
            f.write(b"R\xff\xff")  # torn
        self.d.wait(job, "COMPLETED")
        self.assertIn("late", [e.note.text for e in self.d.events(job)])
        job = self.begin(1000)  # another job's spool says nothing
        with open(os.path.join(self.d.folder(job), "spool", "attempt-1"), "wb") as f:
            f.write(spool("1", 1, done))
        self.assertEqual(self.d.wait(job, "FAILED").reason, "no_done_record")
        job = self.begin(1000)  # larger than any worker's: it is not read again and again
        with open(os.path.join(self.d.folder(job), "spool", "attempt-1"), "wb") as f:
            f.write(spool(job, 1, done))
            f.truncate(81 << 20)
        self.assertEqual(self.d.wait(job, "FAILED").reason, "no_done_record")

    def test_what_the_worker_says_of_its_end(self):
        job = self.begin(800)
        self.report(R.Record(number=1, done=R.Done(success=False, reason="nan_loss", text="loss was NaN 5 times")))
        got = self.d.wait(job, "FAILED")
        self.assertEqual(got.reason, "nan_loss")
        self.assertEqual(got.text, "attempt 1, the last: loss was NaN 5 times")  # the log has nothing to add


if __name__ == "__main__":
    main()
