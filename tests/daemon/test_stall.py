"""STALLED by reports alone, with simulated jobs: told, left alone, taken back; and restarted where the job file says so."""
import signal
import time

from bed import Case, main


class Stall(Case):
    QUICK = "stall_minutes: 0.03\nstall_factor: 2\n"  # above what a loaded machine makes the daemon wait

    def test_a_stall_is_told_and_passes(self):
        job = self.d.submit("steps=20 step_ms=50 hang_at=5 hang_ms=6000", top=self.QUICK)
        got = self.d.wait(job, "STALLED")
        self.assertEqual(got.reason, "stalled")
        self.assertIn("no step for", got.text)
        got = self.d.wait(job, "COMPLETED")
        self.assertEqual(got.attempt, 1)
        changes = self.d.changes(job)
        at = changes.index("STALLED")
        self.assertEqual((changes[at:at + 2], changes[-1]), (["STALLED", "RUNNING"], "COMPLETED"))

    def test_restart_is_asked_for(self):
        job = self.d.submit("steps=20 step_ms=50 hang_at=5 hang_ms=600000", top=self.QUICK + "on_stall: restart\n")
        got = self.d.wait(job, "COMPLETED")
        self.assertEqual([a.reason for a in got.attempts], ["stalled", ""])
        changes = self.d.changes(job)
        self.assertEqual(changes[changes.index("STALLED"):][:3], ["STALLED", "STOPPING", "REQUEUED"])

    def test_silence_without_evidence_ends_nothing(self):
        """Reports that do not arrive, and no marks of the ranks: the job may be well, whatever it says to on_stall."""
        never = self.d.submit("steps=4000 step_ms=50 report=0", top=self.QUICK + "on_stall: restart\n")
        cut = self.d.submit("steps=4000 step_ms=50 cut_at=5", top=self.QUICK + "on_stall: restart\n")
        for job, words in ((never, "no report of them has ever come"), (cut, "no report of them comes any more")):
            got = self.d.wait(job, "STALLED")
            self.assertIn("Its ranks may be well", got.text)
            self.assertIn(words, got.text)
        time.sleep(3)
        for job in (never, cut):
            got = self.d.get(job)
            self.assertEqual((got.attempt, self.d.changes(job)[-1]), (1, "STALLED"))
            self.c.call("Cancel", id=job)

    def test_restarts_are_counted(self):
        job = self.d.submit("steps=20 step_ms=50 hang_at=5 hang_ms=600000",
                            top=self.QUICK + "on_stall: restart\nretries: 0\n")
        got = self.d.wait(job, "FAILED")
        self.assertEqual((got.reason, got.attempt), ("stalled", 1))

    def test_a_daemon_that_slept_draws_no_conclusion(self):
        job = self.d.submit("steps=4000 step_ms=50", top="stall_minutes: 0.2\nstall_factor: 2\n")
        self.d.wait(job, "RUNNING")
        self.d.process.send_signal(signal.SIGSTOP)
        time.sleep(14)
        self.d.process.send_signal(signal.SIGCONT)
        time.sleep(1)
        self.assertNotIn("STALLED", self.d.changes(job))
        self.d.restart()
        time.sleep(1)
        self.assertNotIn("STALLED", self.d.changes(job))
        self.c.call("Cancel", id=job)


if __name__ == "__main__":
    main()
