"""Jobs through a Slurm with real accounting: slurmdbd and MariaDB, accounts, QOS, limits that are enforced, ends told by sacct."""
import os
import signal
import time

from case import WORKER, Case, main

TRIVIAL_WORKER = os.environ["TRIVIAL_WORKER"]
SLEEPS = "sleep 600000\n"


class AccountingCase(Case):
    SLURM = {"accounting": True, "cpus": 8}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for what in ("account vision Description=v Organization=o", "account tight Description=t Organization=o GrpTRES=cpu=1",
                     "account others Description=x Organization=o", "qos one MaxJobsPerUser=1", "qos short MaxWall=5",
                     "qos strict MaxWall=5 Flags=DenyOnLimit", "qos few MaxSubmitJobsPerUser=1",
                     "user root account=vision qos=normal,one,short,strict,few", "user root account=tight"):
            cls.c.slurm("sacctmgr", "--immediate", "add", *what.split())
        cls.jobs = 0
        # A job whose folder holds `behave` is the trivial worker's.
        cls.c.worker = str(cls.c.dir / "worker")
        with open(cls.c.worker, "w") as f:
            f.write('#!/bin/sh\nw="%s"\n[ -f "$3/behave" ] && w="%s"\nexec "$w" "$@"\n' % (WORKER, TRIVIAL_WORKER))
        os.chmod(cls.c.worker, 0o755)
        cls.c.stop_daemon()
        cls.start_daemon()

    @classmethod
    def start_daemon(cls):
        """What is asked again is asked again within seconds; Slurm's word on an end is waited for for 40."""
        cls.c.start_daemon("--slurm-poll", "1", "--slurm-poll-most", "2")

    def submit(self, name, behave=SLEEPS, slurm="account: vision", more=(), **shape):
        """With behave: a job of the trivial worker, of one rank."""
        type(self).jobs += 1
        folder = self.c.dir / "home" / "jobs" / str(self.jobs)
        if behave:
            folder.mkdir(mode=0o700)
            (folder / "behave").write_text(behave)
        file = self.job_file(name, slurm=", " + slurm, **dict({"nodes": 1, "ranks": 1}, **shape))
        self.assertEqual(self.cli("submit", file, *more).strip(), str(self.jobs))
        return str(self.jobs)

    def wait_begun(self, *ids):
        for id in ids:
            self.wait(id, "STARTING", "RUNNING", seconds=60)

    def cancel(self, *ids):
        for id in ids:
            self.cli("cancel", id)
        for id in ids:
            self.wait(id, "CANCELLED", seconds=60)

    def accounted(self, id, n):
        """State and exit code of all n Slurm jobs that the job ever had, once they are over."""
        for _ in range(100):
            out = self.c.slurm("sacct", "--allocations", "--duplicates", "--noheader", "--parsable2", "--starttime=now-1hour",
                               "--format=JobName,State,ExitCode,Account")
            rows = [line.split("|") for line in out.splitlines()]
            rows = [[r[1].split()[0], *r[2:]] for r in rows if r[0].startswith("espalier-") and r[0].split("-")[2] == id]
            if len(rows) == n and not any(r[0] in ("RUNNING", "PENDING") for r in rows):
                break
            time.sleep(0.2)
        return rows


class LimitsTest(AccountingCase):
    def flat(self, text):
        """Without the line breaks of the terminal."""
        return " ".join(text.split())

    def explained(self, id, *parts, seconds=30):
        until = time.monotonic() + seconds
        while True:
            text = self.flat(self.cli("explain", id))
            if all(p in text for p in parts):
                return text
            self.assertLess(time.monotonic(), until, "explain does not say %s: %s\n%s" % (parts, text, self.story(id)))
            time.sleep(0.2)

    def test_1_refused(self):
        cases = (
            ("account: nobody", "Invalid account", "Slurm does not know the account", "sacctmgr show assoc"),
            ("account: others", "Invalid account", "this user may not use it", "sacctmgr show assoc"),
            ("account: vision, qos: nosuch", "Invalid qos", "Slurm does not know the QOS", "sacctmgr show assoc"),
            ("account: tight, qos: one", "Invalid qos", "may not use it with that account", "sacctmgr show assoc"),
            ("account: vision, qos: strict, time_minutes: 60", "QOSMaxWallDurationPerJobLimit",
             "more time than its QOS allows a job", "scontrol show assoc_mgr flags=qos"),
        )
        ids = [self.submit("refused-%d" % i, slurm=case[0]) for i, case in enumerate(cases)]
        for id, (_, said, words, remedy) in zip(ids, cases):
            self.wait(id, "FAILED")
            job = self.job(id)
            self.assertIn(said, job["text"])
            self.assertEqual((job["attempt"], job["attempts"][0]["reason"]), (1, "launch_failed"))
            text = self.flat(self.cli("explain", id))
            for part in (said, words, remedy, "espalier plan FILE"):
                self.assertIn(part, text)
            self.assertEqual(self.accounted(id, 0), [])

    def test_2_plan(self):
        def plan(slurm):
            return self.flat(self.cli("plan", self.job_file("planned", slurm=", " + slurm)))
        self.assertIn("to start at 20", plan("account: vision, qos: one, time_minutes: 10"))
        self.assertIn("Invalid account or account/partition combination", plan("account: others"))
        self.assertIn("Invalid qos specification", plan("account: vision, qos: nosuch"))
        self.assertIn("QOSMaxWallDurationPerJobLimit: Job violates accounting/QOS policy",
                      plan("account: vision, qos: strict, time_minutes: 60"))

    def test_3_limits(self):
        first = self.submit("first", slurm="account: vision, qos: one")
        self.wait_begun(first)
        second = self.submit("second", slurm="account: vision, qos: one")
        wide = self.submit("wide", slurm="account: tight", ranks=2)
        long = self.submit("long", slurm="account: vision, qos: short, time_minutes: 60")
        said = self.explained(second, "QOSMaxJobsPerUserLimit", "this user's jobs in its QOS have as many jobs as they may",
                              "scontrol show assoc_mgr flags=qos")
        self.assertIn("scontrol update JobId=%s QOS=NAME" % self.slurm_of(second)["id"], said)
        self.explained(wide, "AssocGrpCpuLimit", "all jobs of its account together have as many cores as they may",
                       "scontrol show assoc_mgr users=$USER flags=assoc")
        self.explained(long, "QOSMaxWallDurationPerJobLimit", "more time than its QOS allows a job", "TimeLimit=MINUTES")
        self.assertEqual([self.job(i)["state"] for i in (second, wide, long)], ["SUBMITTED"] * 3)
        # What explain advises helps.
        self.assertIn("MaxJobsPU=1(1)", self.c.slurm("scontrol", "show", "assoc_mgr", "flags=qos", "qos=one"))
        for id, change in ((second, "QOS=normal"), (wide, "Account=vision"), (long, "TimeLimit=5")):
            self.c.slurm("scontrol", "update", "JobId=" + self.slurm_of(id)["id"], change)
        self.wait_begun(second, wide, long)
        self.cancel(first, second, wide, long)

    def test_4_a_place_in_the_queue_is_waited_for(self):
        first = self.submit("first", slurm="account: vision, qos: few")
        self.wait_begun(first)
        second = self.submit("second", slurm="account: vision, qos: few")
        self.explained(second, "QOSMaxSubmitJobPerUserLimit", "jobs in the queue")
        self.cancel(first)
        self.wait_begun(second)
        self.assertEqual(self.job(second)["attempt"], 1)
        self.cancel(second)


class EndsTest(AccountingCase):
    def end_unseen(self):
        """Daemon and slurmdbd are killed, then the jobs end; returns when the controller has forgotten them and the records of
        all but one are lost: what is left is what accounting will say."""
        ids = {"done": self.submit("done", behave=None, steps=100),
               "failed": self.submit("failed", "sleep 6000\nexit 3\n", more=("--set", "retries=0"))}
        for name in ("cancelled", "told", "late"):
            ids[name] = self.submit(name)
        ids["lost"] = self.submit("lost", slurm="account: vision, options: --nodelist=n2")
        ids["lives"] = self.submit("lives", slurm="account: vision, options: --nodelist=n1")
        self.wait_begun(*ids.values())
        slurm = {name: self.slurm_of(id)["id"] for name, id in ids.items()}
        self.c.stop_daemon(signal.SIGKILL)
        self.c.cluster.kill("slurmdbd")
        self.c.slurm("scontrol", "update", "JobId=" + slurm["late"], "EndTime=now+2")
        self.c.slurm("scancel", slurm["cancelled"], slurm["told"])
        self.fail_node("n2")
        self.take_back("n2")
        self.wait_known(slurm["lives"])
        for name in ("done", "failed", "cancelled", "late", "lost"):
            self.attempt_file(ids[name], "exit.json").unlink(missing_ok=True)
        return ids

    def wait_known(self, *slurm_ids):
        """The controller knows these jobs and no others."""
        for _ in range(300):
            known = self.c.slurm("squeue", "--noheader", "--states=all", "--format=%A").split()
            if known == list(slurm_ids):
                return
            time.sleep(0.2)
        self.fail("it knows of %s" % self.c.slurm("squeue", "--states=all"))

    def test_5_ends_that_only_accounting_knows(self):
        whole = self.submit("whole", behave=None, ranks=2, nodes=2)
        self.wait(whole, "COMPLETED")
        ids = self.end_unseen()
        self.wait_nothing_is_concluded(ids)
        self.c.cluster.start("slurmdbd")
        self.wait(ids["done"], "COMPLETED")
        self.wait(ids["failed"], "FAILED")
        self.assertIn("exit code 3", self.job(ids["failed"])["text"])
        for name in ("cancelled", "told"):
            self.wait(ids[name], "CANCELLED")
            self.assertIn("not here", self.job(ids[name])["text"])
        for name, reason, word in (("late", "too_short", "TIMEOUT"), ("lost", "node_lost", "NODE_FAIL")):
            self.wait_second_attempt(ids[name])
            first = self.job(ids[name])["attempts"][0]
            self.assertEqual(first["reason"], reason, self.story(ids[name]))
            self.assertIn(word, first["text"])
        self.assertEqual([self.job(ids[n])["attempt"] for n in ("done", "failed", "cancelled", "told", "lives")], [1] * 5)
        self.cancel(ids["late"], ids["lost"], ids["lives"])
        self.assertEqual(self.accounted(whole, 1), [["COMPLETED", "0:0", "vision"]])
        self.assertEqual(self.accounted(ids["done"], 1), [["COMPLETED", "0:0", "vision"]])
        self.assertEqual(self.accounted(ids["failed"], 1), [["FAILED", "3:0", "vision"]])
        for name, states in (("cancelled", ["CANCELLED"]), ("told", ["CANCELLED"]), ("late", ["TIMEOUT", "FAILED"]),
                             ("lost", ["NODE_FAIL", "FAILED"])):
            self.assertEqual([row[0] for row in self.accounted(ids[name], len(states))], states)

    def wait_second_attempt(self, id):
        for _ in range(300):
            if self.job(id)["attempt"] == 2:
                return self.wait_begun(id)
            time.sleep(0.2)
        self.fail("no second attempt: " + self.story(id))

    def wait_nothing_is_concluded(self, ids):
        """Accounting is down: nothing is lost, cancelled or started anew, and new jobs run."""
        self.start_daemon()
        self.wait_begun(self.submit("meanwhile"))
        for id in ids.values():
            job = self.job(id)
            self.assertEqual(job["attempt"], 1, self.story(id))
            self.assertIn(job["state"], ("STARTING", "RUNNING", "UNREACHABLE"), self.story(id))


if __name__ == "__main__":
    main(accounting=True)
