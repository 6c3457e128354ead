"""espalierd killed, restarted, locked out: nothing acknowledged is lost, nothing runs twice."""
import json
import os
import pathlib
import random
import resource
import signal
import subprocess
import threading
import time
import unittest

from bed import ESPALIERD, PATIENCE, TRIVIAL_WORKER, J, R, Case, Daemon, grpc, main, spool, state_name


def replay(events):
    """The state that a job's events add up to; each one must begin where the last one ended."""
    state = "UNSPECIFIED"
    for e in events:
        if e.WhichOneof("kind") == "state":
            assert state_name(getattr(e.state, "from")) == state, (state, e)
            state = state_name(e.state.to)
    return state


class Crash(Case):
    KILLS = int(os.environ.get("ESPALIER_KILLS", "12"))

    def test_kills_at_random_moments(self):
        rng = random.Random(int(os.environ.get("ESPALIER_SEED", "1")))
        jobs, requests = {}, 0
        for kill in range(self.KILLS):
            timer = threading.Timer(rng.uniform(0.02, 0.6), self.d.process.kill)
            timer.start()
            while self.d.process.poll() is None:
                request, script = "r%d" % requests, rng.choice(["steps=4 step_ms=30", "steps=3 step_ms=20 die_at=1",
                                                                "steps=2 step_ms=10 start_ms=100"])
                requests += 1
                try:
                    jobs[request] = (self.d.submit(script, request_id=request), script)
                except grpc.RpcError:
                    jobs[request] = (None, script)  # not acknowledged: it may or may not be there
                time.sleep(rng.uniform(0, 0.1))
            timer.join()
            self.d.restart()
            for request, (job, script) in jobs.items():
                if job is None or kill % 4 == 0:  # asked again, an acknowledged request is the same job
                    again = self.d.submit(script, request_id=request)
                    self.assertIn(job, (None, again))
                    jobs[request] = (again, script)
        ids = [job for job, _ in jobs.values()]
        self.assertEqual(len(set(ids)), len(ids))
        for job, script in jobs.values():
            got = self.d.wait(job, "COMPLETED")
            events = self.d.events(job)
            self.assertEqual(replay(events), "COMPLETED")
            self.assertEqual(got.attempt, 2 if "die_at" in script else 1)
            steps = [e.progress.step for e in events if e.WhichOneof("kind") == "progress"]
            last = steps[steps.index(1, 1):] if "die_at" in script else steps
            self.assertEqual(last, list(range(1, len(last) + 1)), "a record was lost or doubled")
        print("   %d kills, %d jobs" % (self.KILLS, len(ids)))

    def test_every_prefix_of_the_events_is_a_state(self):
        jobs = [self.d.submit("steps=3 step_ms=20 die_at=1"), self.d.submit("steps=999 step_ms=50")]
        self.d.wait(jobs[1], "RUNNING")
        self.c.call("Cancel", id=jobs[1])
        self.d.wait(jobs[0], "COMPLETED")
        self.d.wait(jobs[1], "CANCELLED")
        for job in jobs:
            events = self.d.events(job)
            for n in range(1, len(events) + 1):
                replay(events[:n])
            self.assertEqual(replay(events), self.d.state(job))

    def test_what_still_runs_is_adopted(self):
        job = self.d.submit("steps=40 step_ms=50")
        self.d.wait(job, "RUNNING")
        self.d.restart()
        self.assertIn(self.d.state(job), ("RUNNING", "COMPLETED"))
        got = self.d.wait(job, "COMPLETED")
        self.assertEqual(got.attempt, 1)
        steps = [e.progress.step for e in self.d.events(job) if e.WhichOneof("kind") == "progress"]
        self.assertEqual(steps, list(range(1, 41)))

    def test_a_clean_end_leaves_jobs_running(self):
        job = self.d.submit("steps=40 step_ms=50")
        self.d.wait(job, "RUNNING")
        self.assertEqual(self.d.end(signal.SIGTERM), 0)
        self.d.start()
        self.assertEqual(self.d.wait(job, "COMPLETED").attempt, 1)

    def test_a_watch_goes_on_from_its_cursor(self):
        job = self.d.submit("steps=30 step_ms=60")
        seen, after, restarts = [], 0, 0
        while True:
            try:
                for e in self.c.stream("Watch", id=job, after=after, follow=True):
                    seen.append(e.cursor)
                    after = e.cursor
                    if len(seen) % 12 == 8 and restarts < 3:
                        restarts += 1
                        self.d.restart(random.choice([signal.SIGKILL, signal.SIGTERM]))
                        break
                else:
                    break
            except grpc.RpcError as e:
                self.assertEqual(e.code(), grpc.StatusCode.UNAVAILABLE)
        self.assertEqual(restarts, 3)
        self.assertEqual(seen, [e.cursor for e in self.d.events(job)])
        self.assertEqual(self.d.state(job), "COMPLETED")


class Store(Case):
    def test_a_locked_store_refuses_new_work_and_recovers(self):
        job = self.d.submit("steps=60 step_ms=50")
        self.d.wait(job, "RUNNING")
        db = self.d.database()
        db.execute("BEGIN IMMEDIATE")
        self.refused("UNAVAILABLE", "is locked by another program", self.d.submit, "steps=1", request_id="again")
        self.assertEqual(self.d.state(job), "RUNNING")  # reading goes on
        time.sleep(1.5)
        self.assertIsNone(self.d.process.poll())
        db.execute("ROLLBACK")
        db.close()
        other = self.d.submit("steps=1", request_id="again")
        self.d.wait(other, "COMPLETED")
        self.d.wait(job, "COMPLETED")
        steps = [e.progress.step for e in self.d.events(job) if e.WhichOneof("kind") == "progress"]
        self.assertEqual(steps, list(range(1, 61)))
        self.assertIn("is locked by another program", self.d.said())

    def test_a_full_disk_refuses_new_work_and_recovers(self):
        job = self.d.submit("steps=60 step_ms=50")
        self.d.wait(job, "RUNNING")
        pid, old = self.d.process.pid, resource.prlimit(self.d.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, old[1]))
        with self.assertRaises(grpc.RpcError) as caught:
            self.d.submit("steps=1", request_id="again")
        self.assertIn(caught.exception.code(), (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL,
                                                grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DATA_LOSS))
        self.assertIn("job store", caught.exception.details())
        time.sleep(1)
        self.assertIsNone(self.d.process.poll(), self.d.said())
        resource.prlimit(pid, resource.RLIMIT_FSIZE, old)
        self.d.wait(self.d.submit("steps=1", request_id="again"), "COMPLETED")
        self.d.wait(job, "COMPLETED")


class Ranks(Case):
    """Real mpirun, real processes."""
    LAUNCHER = "mpirun"
    OPTIONS = ("--worker", TRIVIAL_WORKER)

    def submit(self, number, lines, done=True):
        """The worker does what behave says; a spool stands in for its reports."""
        folder = self.d.folder(str(number))
        os.makedirs(os.path.join(folder, "spool"), mode=0o700)
        with open(os.path.join(folder, "behave"), "w") as f:
            f.write(lines)
        for attempt in range(1, 4) if done else ():
            with open(os.path.join(folder, "spool", "attempt-%d" % attempt), "wb") as f:
                f.write(spool(str(number), attempt, R.Record(number=1, hello=R.Hello()),
                              R.Record(number=2, done=R.Done(success=True))))
        self.assertEqual(self.d.submit(ranks=2), str(number))
        return str(number)

    def ran(self, job):
        return os.path.getsize(os.path.join(self.d.folder(job), "ran"))

    def test_two_ranks_to_the_end(self):
        job = self.submit(1, "count ran\nsay a rank speaks\n")
        got = self.d.wait(job, "COMPLETED")
        self.assertEqual((got.attempt, got.exit_code, self.ran(job)), (1, 0, 2))
        self.assertIn(b"a rank speaks\n", b"".join(c.text for c in self.c.stream("Logs", id=job)))

    def test_a_killed_daemon_adopts_its_ranks(self):
        job = self.submit(1, "count ran\nwait go\n")
        self.d.wait(job, "STARTING")
        for _ in range(2):
            self.d.restart()
        self.assertEqual(self.d.state(job), "STARTING")
        pathlib.Path(self.d.folder(job), "go").touch()
        self.assertEqual(self.d.wait(job, "COMPLETED").attempt, 1)
        self.assertEqual(self.ran(job), 2)

    def test_what_ended_while_the_daemon_was_away(self):
        job = self.submit(1, "count ran\nsleep 300\nexit 0\n")
        self.d.wait(job, "STARTING")
        self.d.end(signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE
        while not os.path.exists(os.path.join(self.d.folder(job), "attempts", "1", "exit.json")):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        self.d.start()
        self.assertEqual(self.d.wait(job, "COMPLETED").attempt, 1)

    def test_a_killed_rank_is_retried_then_failed(self):
        job = self.submit(1, "count ran\nsay about to die\nsignal 9\n", done=False)
        got = self.d.wait(job, "FAILED")
        self.assertEqual((got.attempt, got.reason), (3, "rank_lost"))
        self.assertIn("killed by signal 9", got.text)
        self.assertIn("Last lines of the log:", got.text)
        self.assertGreaterEqual(self.ran(job), 3)
        # No segment of a killed attempt is left in memory.
        attempts = pathlib.Path(self.d.folder(job), "attempts")
        launchers = {json.loads(p.read_text())["pid"] for p in attempts.glob("*/launcher.json")}
        self.assertEqual(len(launchers), 3)
        self.assertEqual([f for f in os.listdir("/dev/shm") if f.startswith("espalier.%d." % os.geteuid())
                          and int(f.split(".")[2]) in launchers], [])

    def test_cancel_ends_the_ranks(self):
        self.d.remove()
        self.d = Daemon("--worker", TRIVIAL_WORKER, "--stop-term", "0", "--stop-kill", "1", launcher="mpirun").start()
        job = self.submit(1, "deaf\ncount ran\nsleep 60000\n", done=False)
        self.d.wait(job, "STARTING")
        self.c.call("Cancel", id=job)
        self.d.wait(job, "CANCELLED")


class Start(unittest.TestCase):
    def run_daemon(self, *options, **kwargs):
        done = subprocess.run([ESPALIERD, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, **kwargs)
        return done.returncode, done.stdout.decode() + done.stderr.decode()

    def setUp(self):
        self.d = Daemon()

    def tearDown(self):
        self.d.remove()

    def refused(self, code, part, *options, **kwargs):
        got, said = self.run_daemon(*options, **kwargs)
        self.assertIn(part, said)
        self.assertEqual(got, code, said)

    def options(self, **changed):
        at = {"home": self.d.home, "listen": self.d.address, "launcher": "fake", **changed}
        return [x for k, v in at.items() for x in ("--" + k, v)]

    def test_usage(self):
        self.assertEqual(self.run_daemon("--help")[0], 0)
        self.assertIn("espalierd ", self.run_daemon("--version")[1])
        self.refused(2, "--cores: expects a whole number", "--cores", "none")
        self.refused(2, "takes no argument 'x'", "x")
        self.refused(2, "expects one of mpirun", "--launcher", "ssh")
        self.refused(2, "no listening on the network without TLS", *self.options(listen="127.0.0.1:0"))
        self.refused(2, "the socket's path", *self.options(listen="unix:/" + "x" * 200))

    def test_two_daemons_do_not_share(self):
        self.d.start()
        self.refused(4, "uses the home", *self.options(listen="unix:%s/other" % self.d.dir))
        self.refused(4, "listens on", *self.options(home=self.d.dir + "/other"))
        self.assertEqual(self.d.client.call("Ping").cores, 2)

    def test_an_open_folder_is_refused(self):
        folder = os.path.join(self.d.dir, "open")
        os.mkdir(folder)
        os.chmod(folder, 0o755)
        self.refused(7, "is open to others (mode 755", *self.options(listen="unix:%s/s" % folder))

    def test_a_newer_store_is_refused(self):
        self.d.start()
        self.d.end()
        db = self.d.database()
        known = db.execute("PRAGMA user_version").fetchone()[0]
        db.execute("PRAGMA user_version = 99")
        db.close()
        self.refused(15, "has schema 99", *self.options())
        db = self.d.database()
        db.execute("PRAGMA user_version = %d" % known)
        db.close()
        self.d.start()

    @unittest.skipIf(os.geteuid() != 0, "needs root, to become an account that permissions bind")
    def test_a_read_only_store_is_refused(self):
        self.d.start()
        self.d.end()
        for path, _, files in os.walk(self.d.dir):
            for name in [path] + [os.path.join(path, f) for f in files]:
                os.chown(name, 65534, 65534)
        os.chmod(os.path.join(self.d.home, "espalier.db"), 0o444)
        self.refused(8, "espalier.db", *self.options(), user=65534, group=65534)
        os.chmod(os.path.join(self.d.home, "espalier.db"), 0o600)


if __name__ == "__main__":
    main()
