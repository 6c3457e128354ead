"""Watch and Logs: filters, a log that was cut, followers across kills of the daemon, readers that stop reading.

The client binary is named by ESPALIER.
"""
import json
import os
import signal
import subprocess
import threading
import time

os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=4"  # what is freed counts as free
from bed import PATIENCE, J, R, Case, grpc, main  # noqa: E402

ESPALIER = os.environ["ESPALIER"]
LOG = """\
of unknown age
2026-01-31T12:00:00Z INFO  worker.0: job begins
2026-01-31T12:00:01Z WARN  worker.1: slow disk
Segmentation fault
2026-01-31T12:00:02Z INFO  worker.1: checkpoint one
2026-01-31T12:00:03Z ERROR worker.0: no room left
2026-01-31T12:00:04Z INFO  worker.12: checkpoint two
"""
NOON = 1769860800000


class Bed(Case):
    OPTIONS = ("--retries", "0", "--log-part", "1", "--log-parts", "2", "--cores", "8")

    def begin(self):
        """An attempt that only lives; the test plays its worker."""
        job = self.d.submit("report=0 steps=1 step_ms=600000")
        self.d.wait(job, "STARTING")
        with open(os.path.join(self.d.folder(job), "attempt.json")) as f:
            attempt = json.load(f)
        self.ids = {"job_id": job, "attempt": attempt["attempt"], "token": attempt["token"]}
        self.log = os.path.join(self.d.folder(job), "log.txt")
        return job

    def client(self, *args, stdout=subprocess.PIPE):
        env = dict(os.environ, ESPALIER_SERVER=self.d.address, LC_ALL="C.UTF-8")
        return subprocess.Popen([ESPALIER, *args], env=env, stdout=stdout, stderr=subprocess.PIPE, text=True)

    def says(self, code, *args):
        p = self.client(*args)
        out, err = p.communicate(timeout=60)
        self.assertEqual(p.returncode, code, err)
        return err if code else out


class Filters(Bed):
    def logs(self, job, **fields):
        return b"".join(c.text for c in self.c.stream("Logs", id=job, **fields)).decode().splitlines()

    def test_lines(self):
        job = self.begin()
        with open(self.log, "w") as f:
            f.write(LOG)
        lines = LOG.splitlines()
        pick = lambda *n: [lines[i] for i in n]
        self.assertEqual(self.logs(job), lines)
        self.assertEqual(self.logs(job, ranks=[1]), pick(2, 4))
        self.assertEqual(self.logs(job, ranks=[12, 0]), pick(1, 5, 6))
        self.assertEqual(self.logs(job, level=J.LOG_LEVEL_WARN), pick(0, 2, 3, 5))
        self.assertEqual(self.logs(job, since_ms=NOON + 1500), pick(2, 3, 4, 5, 6))
        self.assertEqual(self.logs(job, grep="check(point)? (one|three)|^Seg"), pick(3, 4))
        self.assertEqual(self.logs(job, tail_lines=2), pick(5, 6))
        self.assertEqual(self.logs(job, tail_lines=2, grep="worker.1:"), pick(2, 4))
        self.assertEqual(self.logs(job, tail_lines=100), lines)
        self.assertEqual(self.logs(job, tail_lines=1, grep="nowhere"), [])
        self.assertEqual(self.logs(job, ranks=[0], level=J.LOG_LEVEL_ERROR, since_ms=NOON, grep="room"), pick(5))
        self.assertEqual(self.says(0, "logs", job, "--rank", "1", "--level", "info").splitlines(), pick(2, 4))
        self.assertEqual(self.says(0, "logs", job, "--tail", "1").splitlines(), pick(6))
        self.assertEqual(self.says(0, "logs", job, "--since", "2026-01-31T12:00:04Z").splitlines(), pick(6))
        self.assertEqual(self.says(0, "logs", job, "--since", "10m").splitlines(), [])
        self.assertIn("time ago like 90s", self.says(2, "logs", job, "--since", "soon"))
        self.assertIn("no regular expression", self.says(2, "logs", job, "--grep", "("))
        self.assertIn("--level expects", self.says(2, "logs", job, "--level", "loud"))
        self.assertIn("--rank expects", self.says(2, "logs", job, "--rank", "-1"))
        for fields, part in (({"grep": "(a)\\1"}, "letters and digits"), ({"level": 9}, "no level 9"),
                             ({"tail_lines": 10001}, "at most 10000"), ({"ranks": range(65)}, "at most 64")):
            self.refused("INVALID_ARGUMENT", part, self.c.stream, "Logs", id=job, **fields)

    def test_a_filter_follows(self):
        job = self.begin()
        with open(self.log, "ab", buffering=0) as f:
            f.write(b"yes one\nno\nyes two\nno\n")
            stream = self.c.stream("Logs", id=job, follow=True, grep="yes", tail_lines=1)
            self.assertEqual(next(stream).text, b"yes two\n")
            f.write(b"no\n" * 40000 + b"yes three\n")
        self.c.call("Cancel", id=job)  # the stream's end
        self.assertEqual(b"".join(c.text for c in stream), b"yes three\n")

    def test_events(self):
        job = self.begin()
        warn, error = J.SEVERITY_WARNING, J.SEVERITY_ERROR
        self.c.report(records=[
            R.Record(number=1, time_ms=NOON, note=J.Note(text="calm")),
            R.Record(number=2, time_ms=NOON + 5000, note=J.Note(text="wary", severity=warn)),
            R.Record(number=3, time_ms=NOON + 5000, metric=J.Metric(name="loss.ce", value=1)),
            R.Record(number=4, time_ms=NOON + 9000, note=J.Note(text="broken", severity=error))], **self.ids)
        seen = lambda **f: [getattr(e, e.WhichOneof("kind")) for e in self.c.stream("Watch", id=job, **f)]
        texts = lambda **f: [n.text for n in seen(kinds=["note"], **f)]
        self.assertEqual(texts(), ["calm", "wary", "broken"])
        self.assertEqual(texts(level=J.LOG_LEVEL_WARN), ["wary", "broken"])
        self.assertEqual(texts(since_ms=NOON + 5000), ["wary", "broken"])
        self.assertEqual(texts(grep="^w"), ["wary"])
        self.assertEqual([m.name for m in seen(kinds=["metric", "progress"])], ["loss.ce"])
        self.assertEqual(len(seen(kinds=["state"])), len(self.d.changes(job)))
        self.refused("INVALID_ARGUMENT", "no kind of event", self.c.stream, "Watch", id=job, kinds=["cursor"])
        self.c.call("Cancel", id=job)
        self.d.wait(job, "CANCELLED")
        p = self.client("watch", job, "--kind", "note", "--level", "error", "--json")
        self.assertEqual([json.loads(line)["note"]["text"] for line in p.communicate(timeout=60)[0].splitlines()], ["broken"])
        last = self.d.events(job)[-1].cursor
        p = self.client("watch", job, "--after", str(last - 1), "--json")
        self.assertEqual([json.loads(line)["cursor"] for line in p.communicate(timeout=60)[0].splitlines()], [last])


class Cut(Bed):
    def test_offsets_stay_and_what_is_gone_is_said(self):
        job = self.begin()
        n, width = 60000, 128  # 7.3 MiB, and 2 parts of 1 MiB are kept
        with open(self.log, "wb") as f:
            f.writelines(b"%08d%s\n" % (i, b"." * (width - 9)) for i in range(n))
        deadline = time.monotonic() + PATIENCE
        while os.stat(self.log).st_blocks * 512 > 4 << 20:
            if time.monotonic() > deadline:
                self.assertNotIn("knows no holes", self.d.said())
                self.fail("the log was not cut")
            time.sleep(0.1)
        for _ in range(2):
            chunks = list(self.c.stream("Logs", id=job))
            gone = chunks[0].gone_bytes
            lines = b"".join(c.text for c in chunks).splitlines()
            self.assertEqual([int(line[:8]) for line in lines], list(range(gone // width, n)))
            self.assertEqual((gone % width, sum(c.gone_bytes for c in chunks)), (0, gone))
            self.assertGreaterEqual(len(lines) * width, 2 << 20)
            self.assertLessEqual(len(lines) * width, 3 << 20)
            at = (n - 10) * width
            tail = list(self.c.stream("Logs", id=job, after=at))
            self.assertEqual((tail[0].gone_bytes, int(tail[0].text[:8])), (0, n - 10))
            found = b"".join(c.text for c in self.c.stream("Logs", id=job, grep="^000599[0-9]{2}", tail_lines=3))
            self.assertEqual([int(line[:8]) for line in found.splitlines()], [59997, 59998, 59999])
            self.d.restart()  # the file itself says where it begins
        p = self.client("logs", job)
        out, err = p.communicate(timeout=60)
        self.assertEqual(int(out[:8]), gone // width)
        self.assertIn("of the log are gone here", err)


class Followers(Bed):
    KILLS = 4

    def test_each_event_and_line_once_over_kills(self):
        job = self.d.submit("steps=160 step_ms=50")
        self.d.wait(job, "RUNNING")
        log = os.path.join(self.d.folder(job), "log.txt")
        stop = threading.Event()

        def write():
            with open(log, "ab", buffering=0) as f:
                i = 0
                while not stop.wait(0.01):
                    f.write(b"line %d\n" % i)
                    i += 1
        writer = threading.Thread(target=write)
        writer.start()
        asked = [("watch", job, "--json"), ("logs", job, "-f"), ("watch", job, "--json", "--kind", "progress"),
                 ("logs", job, "-f", "--grep", "[05]$")]
        paths = [os.path.join(self.d.dir, "told-%d" % i) for i in range(len(asked))]
        followers = []
        for path, args in zip(paths, asked):
            with open(path, "w") as told:
                followers.append(self.client(*args, stdout=told))
        deadline = time.monotonic() + PATIENCE
        while not all(os.path.getsize(path) for path in paths):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)
        for kill in range(self.KILLS):
            time.sleep(0.7)
            self.d.restart(signal.SIGKILL if kill % 2 == 0 else signal.SIGTERM)
        self.d.wait(job, "COMPLETED")
        stop.set()
        writer.join()
        said = [f.communicate(timeout=120)[1] for f in followers]
        told = []
        for path in paths:
            with open(path) as f:
                told.append(f.read().splitlines())
        self.assertEqual([f.returncode for f in followers], [0] * 4, said)
        self.assertEqual([json.loads(line)["cursor"] for line in told[0]], [e.cursor for e in self.d.events(job)])
        self.assertEqual([json.loads(line)["progress"]["step"] for line in told[2]], list(range(1, 161)))
        with open(log) as f:
            lines = f.read().splitlines()
        self.assertGreater(len(told[1]), 100)
        self.assertEqual(told[1], lines[:len(told[1])])  # lines may come after the job's end
        self.assertGreater(len(told[3]), 20)
        self.assertEqual(told[3], [line for line in lines if line[-1] in "05"][:len(told[3])])
        for err in said:
            self.assertIn("lost the connection", err)


class Slow(Bed):
    READERS = 100

    def resident(self):
        with open("/proc/%d/status" % self.d.process.pid) as f:
            return int([line for line in f if line.startswith("VmRSS")][0].split()[1]) >> 10  # MiB

    def test_readers_that_stop_reading(self):
        job = self.begin()
        with open(self.log, "wb") as f:
            f.write(b"x" * 99 + b"\n")
            f.write((b"x" * 99 + b"\n") * 20000)
        text = "n" * 400
        number = 0

        def report(n):
            nonlocal number
            records = [R.Record(number=number + i + 1, note=J.Note(text=text)) for i in range(n)]
            number += n
            self.assertEqual(self.c.report(records=records, **self.ids).acknowledged, number)
        report(500)
        stuck = []
        for i in range(self.READERS):  # opened, begun, then left alone
            method, fields = ("Watch", {}) if i % 2 else ("Logs", {})
            stream = self.c.stream(method, timeout=None, id=job, follow=True, **fields)
            next(iter(stream))
            stuck.append(stream)
        slow = self.c.stream("Logs", timeout=None, id=job, follow=True, grep="(x|y)*z$")
        before = self.resident()
        took = []
        for _ in range(12):
            report(500)
            begun = time.monotonic()
            self.d.get(job)
            took.append(time.monotonic() - begun)
        self.assertLess(sorted(took)[6], 0.5)
        after = list(self.c.stream("Watch", id=job, kinds=["note"], after=self.d.get(job).last_event - 100))
        self.assertEqual(len(after), 100)
        grown = self.resident() - before
        print("   %d stuck readers, %d MiB more, Get in %.1f ms" % (len(stuck), grown, 1000 * sorted(took)[6]))
        self.assertLess(grown, 80)
        for stream in stuck + [slow]:
            stream.cancel()
        self.assertEqual(self.d.state(job), "RUNNING")


if __name__ == "__main__":
    main()
