"""What people ask of jobs: pause, resume, hold, release, retry, resolve, update, remove; and what each refuses."""
import json
import os
import signal
import time

from bed import J, R, Case, main, state_name


class Control(Case):
    def ask(self, verb, job, **fields):
        return state_name(self.c.call(verb, id=job, **fields).state)

    def test_pause_gives_the_cores_back_and_resume_goes_on(self):
        job = self.d.submit("steps=1000 step_ms=50", ranks=2)
        other = self.d.submit("steps=2 step_ms=10", ranks=2)
        self.d.wait(job, "RUNNING")
        self.assertEqual(self.d.state(other), "QUEUED")
        self.assertEqual(self.ask("Pause", job, text="the node is needed"), "PAUSING")
        self.assertIn(self.ask("Pause", job), ("PAUSING", "PAUSED"))  # said twice is said once
        self.d.wait(job, "PAUSED")
        self.d.wait(other, "COMPLETED")
        self.d.restart()
        self.assertEqual(self.ask("Pause", job), "PAUSED")
        self.assertEqual(self.ask("Resume", job), "REQUEUED")
        got = self.d.wait(job, "RUNNING")
        self.assertEqual((got.attempt, [a.reason for a in got.attempts]), (2, ["paused", ""]))
        self.assertEqual(self.d.changes(job)[-6:], ["PAUSING", "PAUSED", "REQUEUED", "SUBMITTED", "STARTING", "RUNNING"])
        self.assertIn("the node is needed", [e.state.text for e in self.d.events(job)])
        self.c.call("Cancel", id=job)

    def test_a_pause_costs_no_retry(self):
        job = self.d.submit("steps=40 step_ms=20 die_at=39 die_attempts=5 signal=9", top="retries: 1\n")
        for _ in range(3):
            self.d.wait(job, "RUNNING")
            self.ask("Pause", job)
            self.d.wait(job, "PAUSED")
            self.ask("Resume", job)
        got = self.d.wait(job, "FAILED")
        self.assertEqual([a.reason for a in got.attempts], ["paused"] * 3 + ["rank_lost"] * 2)

    def test_held_jobs_do_not_start(self):
        held, waits = self.d.submit("steps=2", hold=True), self.d.submit("steps=1000 step_ms=50", ranks=2)
        self.d.wait(waits, "RUNNING")
        self.assertEqual((self.d.state(held), self.d.get(held).reason), ("HELD", "held"))
        other = self.d.submit("steps=2", ranks=2)
        self.assertEqual(self.ask("Hold", other), "HELD")
        self.assertEqual(self.ask("Hold", other), "HELD")
        self.c.call("Cancel", id=waits)
        self.d.wait(waits, "CANCELLED")
        time.sleep(0.5)
        self.assertEqual((self.d.state(held), self.d.state(other)), ("HELD", "HELD"))
        for job in (held, other):
            self.assertEqual(self.ask("Release", job), "QUEUED")
            self.d.wait(job, "COMPLETED")

    def test_retry_counts_anew_and_keeps_the_id(self):
        job = self.d.submit("steps=4 step_ms=10 die_at=2 die_attempts=3 signal=9", top="retries: 1\n")
        got = self.d.wait(job, "FAILED")
        self.assertEqual((got.attempt, got.retries), (2, 1))
        self.d.restart()
        self.assertEqual(self.ask("Retry", job, text="fixed the fan"), "REQUEUED")
        got = self.d.wait(job, "COMPLETED")
        self.assertEqual([(a.number, a.reason) for a in got.attempts],
                         [(1, "rank_lost"), (2, "rank_lost"), (3, "rank_lost"), (4, "")])
        self.assertTrue(all(a.started_ms <= a.ended_ms for a in got.attempts))
        self.assertIn("killed by signal 9", got.attempts[0].text)
        cancelled = self.d.submit("steps=1000 step_ms=20")
        self.d.wait(cancelled, "RUNNING")
        self.c.call("Cancel", id=cancelled)
        self.d.wait(cancelled, "CANCELLED")
        self.assertEqual(self.ask("Retry", cancelled), "REQUEUED")
        self.d.wait(cancelled, "RUNNING")
        self.c.call("Cancel", id=cancelled)

    def test_retry_from_a_checkpoint(self):
        job = self.d.submit("report=0 steps=1 step_ms=60000", top="retries: 0\n")
        self.d.wait(job, "STARTING")
        path = os.path.join(self.d.folder(job), "attempt.json")
        with open(path) as f:
            attempt = json.load(f)
        self.assertNotIn("resume_from", attempt)
        self.c.report(job_id=job, attempt=1, token=attempt["token"], records=[
            R.Record(number=n, checkpoint=J.CheckpointNote(path="checkpoints/step-%d.safetensors" % n, total_step=10 * n,
                                                           sha256="0" * 64)) for n in (1, 2, 3)])
        self.c.call("Cancel", id=job)
        self.d.wait(job, "CANCELLED")
        self.refused("NOT_FOUND", "has no checkpoint 'step-9'", self.c.call, "Retry", id=job, checkpoint="step-9")
        self.assertEqual(self.d.state(job), "CANCELLED")
        for name in ("20", "step-2.safetensors", "checkpoints/step-2.safetensors"):
            self.ask("Retry", job, checkpoint=name)
            got = self.d.wait(job, "STARTING")
            with open(path) as f:
                attempt = json.load(f)
            self.assertEqual((attempt["resume_from"], attempt["resume_since"]),
                             ("checkpoints/step-2.safetensors", got.attempt))
            self.c.call("Cancel", id=job)
            self.d.wait(job, "CANCELLED")
        self.ask("Retry", job)
        self.d.wait(job, "STARTING")
        with open(path) as f:
            self.assertNotIn("resume_from", json.load(f))

    def test_update_changes_who_is_next(self):
        runs = self.d.submit("steps=1000 step_ms=50", ranks=2)
        self.d.wait(runs, "RUNNING")
        low, high = self.d.submit("steps=1", ranks=2, priority=10), self.d.submit("steps=1", ranks=2, priority=20)
        self.assertEqual(self.ask("Update", low, priority=30), "QUEUED")
        self.d.restart()
        self.assertEqual(self.d.get(low).priority, 30)
        self.assertIn("priority 30 instead of 10, said by user", [e.note.text for e in self.d.events(low)])
        self.c.call("Cancel", id=runs)
        first, second = self.d.wait(low, "COMPLETED"), self.d.wait(high, "COMPLETED")
        self.assertLess(first.started_ms, second.started_ms)
        self.refused("INVALID_ARGUMENT", "give a priority", self.c.call, "Update", id=low)
        self.refused("FAILED_PRECONDITION", "nothing to change", self.c.call, "Update", id=low, priority=3)
        self.refused("INVALID_ARGUMENT", "0 to 100", self.c.call, "Update", id=low, priority=101)

    def test_remove_forgets_rows_and_folder(self):
        job, kept = self.d.submit("steps=3 step_ms=20"), self.d.submit("steps=3 step_ms=20")
        self.d.wait(job, "RUNNING", "COMPLETED")
        held = self.d.submit("steps=1", hold=True)
        self.refused("FAILED_PRECONDITION", "`espalier cancel %s`" % held, self.c.call, "Remove", id=held)
        for j in (job, kept):
            self.d.wait(j, "COMPLETED")
        os.makedirs(os.path.join(self.d.folder(job), "checkpoints", "deep"))
        os.symlink("/etc", os.path.join(self.d.folder(job), "link"))
        self.assertEqual(self.c.call("Remove", id=job).id, job)
        self.refused("NOT_FOUND", "no job %s" % job, self.c.call, "Get", id=job)
        self.refused("NOT_FOUND", "no job %s" % job, self.c.call, "Remove", id=job)
        self.assertFalse(os.path.exists(self.d.folder(job)))
        self.assertTrue(os.path.exists("/etc/hostname"))
        trash = os.path.join(self.d.home, "trash")
        deadline = time.monotonic() + 20
        while os.listdir(trash) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(os.listdir(trash), [])
        self.assertEqual(self.d.state(kept), "COMPLETED")
        self.assertNotEqual(self.d.submit("steps=1"), job)  # ids are not used again

    def test_a_removal_that_was_cut_short_is_finished(self):
        job = self.d.submit("steps=1")
        self.d.wait(job, "COMPLETED")
        self.d.end()
        db = self.d.database()  # as a kill right after the commit leaves it
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("DELETE FROM jobs WHERE id = ?", (job,))
        db.execute("INSERT INTO removals VALUES (?)", (job,))
        db.close()
        self.d.start()
        deadline = time.monotonic() + 20
        while os.path.exists(self.d.folder(job)) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertFalse(os.path.exists(self.d.folder(job)))
        self.d.submit("steps=1")
        db = self.d.database()
        self.assertEqual(db.execute("SELECT count(*) FROM removals").fetchone(), (0,))
        db.close()

    def test_wrong_states_are_told_what_to_do(self):
        runs = self.d.submit("steps=10000 step_ms=50")
        self.d.wait(runs, "RUNNING")
        done, held = self.d.submit("steps=1"), self.d.submit("steps=1", hold=True)
        self.d.wait(done, "COMPLETED")
        for verb, job, part in (("Hold", runs, "`espalier pause %s`"), ("Retry", runs, "`espalier cancel %s` first"),
                                ("Pause", held, "`espalier release %s`"), ("Resume", held, "`espalier release %s`"),
                                ("Retry", held, "`espalier release %s`"), ("Pause", done, "`espalier show %s`"),
                                ("Resume", done, "`espalier show %s`"), ("Hold", done, "`espalier show %s`"),
                                ("Release", done, "`espalier show %s`"), ("Retry", done, "`espalier show %s --file`")):
            self.refused("FAILED_PRECONDITION", part % job, self.c.call, verb, id=job)
        self.refused("INVALID_ARGUMENT", "failed or requeue", self.c.call, "Resolve", id=runs)
        self.refused("FAILED_PRECONDITION", "what it does is known", self.c.call, "Resolve", id=runs,
                     **{"as": J.RESOLUTION_FAILED})
        self.refused("FAILED_PRECONDITION", "nothing to resolve", self.c.call, "Resolve", id=done,
                     **{"as": J.RESOLUTION_FAILED})
        for verb in ("Pause", "Resume", "Hold", "Release", "Retry", "Update", "Remove", "Resolve"):
            self.refused("NOT_FOUND", "no job 42", self.c.call, verb, id="42")
            self.refused("INVALID_ARGUMENT", "no job id", self.c.call, verb, id="-1")
        self.assertEqual((self.d.state(runs), self.d.state(held)), ("RUNNING", "HELD"))
        self.c.call("Cancel", id=runs)


class Unreachable(Case):
    def test_a_persons_word(self):
        job, other = self.d.submit("silent=1"), self.d.submit("silent=1")
        for j in (job, other):
            self.d.wait(j, "UNREACHABLE")
        self.refused("FAILED_PRECONDITION", "`espalier resolve %s --as requeue`" % job, self.c.call, "Retry", id=job)
        self.refused("FAILED_PRECONDITION", "nothing can be told", self.c.call, "Pause", id=job)
        with open(os.path.join(self.d.folder(job), "attempt.json")) as f:
            token = json.load(f)["token"]
        state = self.c.call("Resolve", id=job, text="node7 is off", **{"as": J.RESOLUTION_REQUEUE}).state
        self.assertEqual(state_name(state), "REQUEUED")
        self.refused("FAILED_PRECONDITION", "end without writing", self.c.report, job_id=job, attempt=1, token=token)
        said = [e.state for e in self.d.events(job) if e.state.reason == "resolved"]
        self.assertEqual([s.actor for s in said], ["user"])
        self.assertIn("said of attempt 1: it is over, start another; node7 is off", said[0].text)
        self.d.wait(job, "UNREACHABLE")
        self.assertEqual(self.d.get(job).attempt, 2)
        self.assertEqual(state_name(self.c.call("Resolve", id=job, **{"as": J.RESOLUTION_FAILED}).state), "FAILED")
        got = self.d.get(job)
        self.assertEqual((got.reason, [a.reason for a in got.attempts]), ("resolved", ["resolved", "resolved"]))
        # One whose end was asked for, and of which nothing was heard since, is no ghost either.
        self.c.call("Cancel", id=other)
        self.assertEqual(self.d.state(other), "STOPPING")
        self.c.call("Resolve", id=other, **{"as": J.RESOLUTION_FAILED})
        self.assertEqual(self.d.state(other), "FAILED")


class Waits(Case):
    OPTIONS = ("--retry-wait", "300")

    def test_what_dies_at_once_does_not_spin(self):
        job = self.d.submit("steps=1 step_ms=1 die_at=1 die_attempts=99 signal=9", top="retries: 20\n")
        got = self.d.wait(job, "REQUEUED")
        time.sleep(5)
        self.d.restart(signal.SIGKILL)  # the wait outlives the daemon
        got = self.d.get(job)
        starts = [a.started_ms for a in got.attempts]
        self.assertLess(len(starts), 6)
        gaps = [b - a for a, b in zip(starts, starts[1:])]
        for gap, least in zip(gaps, (1000, 2000, 4000)):
            self.assertGreaterEqual(gap, least)
        if state_name(got.state) == "REQUEUED":
            self.assertGreater(got.not_before_ms, starts[-1])
        self.c.call("Cancel", id=job)
        self.assertEqual(self.d.state(job), "CANCELLED")

    def test_a_wait_ends_without_anybody_calling(self):
        job = self.d.submit("steps=1 step_ms=1 die_at=1 die_attempts=1 signal=9")
        self.d.wait(job, "REQUEUED")
        time.sleep(2.5)
        got = self.d.get(job)
        self.assertLess(got.attempts[1].started_ms - got.attempts[0].ended_ms, 2000)


if __name__ == "__main__":
    main()
