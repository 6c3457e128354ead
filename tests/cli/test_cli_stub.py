"""The client against a server that misbehaves on request: every command's output, JSON, errors and exit codes."""
import csv
import hashlib
import io
import os
import signal
import subprocess
import time

import clitest
from clitest import ESPALIER, CliTest, Terminal

STUB = os.environ["STUB_SERVER"]
MODEL = bytes(((i * 2654435761 & 0xFFFFFFFF) >> 13) & 0xFF for i in range(700001))


class StubTest(CliTest):
    def stub(self, *faults):
        return self.start_server([STUB, self.socket, *faults], "listening")


class Overview(CliTest):
    def test_overview_help_version(self):
        self.assertIn("Start here", self.check(0))
        self.assertEqual(self.check(0), self.check(0, "--help"))
        self.assertEqual(self.check(0), self.check(0, "help"))
        self.assertRegex(self.check(0, "version"), r"^espalier \d+\.\d+\.\d+\n$")
        self.assertEqual(self.check(0, "version"), self.check(0, "--version"))

    def test_every_command_has_help_with_examples(self):
        commands = [line.split()[0] for line in self.check(0).split("Commands\n")[1].split("\n\n")[0].splitlines()]
        self.assertGreaterEqual(len(commands), 14)
        for command in commands:
            text = self.check(0, command, "--help")
            self.assertIn("Usage\n  espalier " + command, text)
            self.assertEqual(text, self.check(0, "help", command))
            if command != "version":
                self.assertIn("Examples", text)
            self.assertNotIn("\x1b", text)
            self.assertNotRegex(text, r"[ \t]\n")

    def test_topics(self):
        self.assertIn("phases.search.steps", self.check(0, "help", "job-file"))
        self.assertIn("cancelled", self.check(0, "help", "exit-codes").lower())
        self.check(3, "help", "nothing", says="no help on 'nothing'")

    def test_slips_are_caught(self):
        self.check(2, "sumbit", says="did you mean `espalier submit`?")
        for word, command in (("ps", "jobs"), ("kill", "cancel"), ("run", "submit"), ("scancel", "cancel"), ("delete", "rm")):
            self.check(2, word, says="did you mean `espalier %s`?" % command)
        self.check(2, "rxx", says="`espalier help` lists them")  # too short to guess at
        self.check(2, "xyzzy", says="`espalier help` lists them")
        self.check(2, "jobs", "--jsn", says="did you mean --json?")
        self.check(2, "jobs", "--limit", "0", says="--limit expects a whole number from 1")
        self.check(2, "jobs", "--limit", says="--limit needs a value")
        self.check(2, "jobs", "--state", "running,", says="--state expects one of QUEUED")
        self.check(2, "jobs", "extra", says="does not know what to do with 'extra'")
        self.check(2, "show", says="`show` needs an argument")
        self.check(2, "--color", "blue", "jobs", says="--color expects auto, always or never")

    def test_no_daemon(self):
        for args in (("ping",), ("jobs",), ("show", "1"), ("watch", "last"), ("submit", "job.yaml"), ("logs", "1")):
            self.check(8, *args, says="cannot reach espalierd at unix:" + self.socket)

    def test_colour_is_asked_for(self):
        self.assertIn("\x1b[1m", self.check(0, "--color", "always", "help"))
        self.assertIn("\x1b[1m", self.check(0, "help", "--color=always"))
        self.assertNotIn("\x1b[", self.check(0, "help"))


class Plan(CliTest):
    def test_plan(self):
        self.assertRegex(self.check(0, "plan", "job.yaml"), r"parameters  [\d,]+ dense")
        plan = self.check_json("plan", "job.yaml", "--json")
        self.assertEqual((plan["findings"], plan["plan"]["steps"], plan["plan"]["ranks"]), ([], 300, 1))
        again = self.check(0, "plan", "job.yaml", "--effective", "--set", "train.seed=77")
        self.write("again.yaml", again)
        self.assertIn("seed: 77", again)
        self.assertEqual(again, self.check(0, "plan", "again.yaml", "--effective"))

    def test_stdin(self):
        with open(self.path("job.yaml")) as f:
            self.assertIn("300", self.check(0, "plan", "-", stdin=f.read()))

    def test_all_faults_with_places(self):
        self.write("bad.yaml", "nmae: x\nresources.ranks: 0\nphases.task: {steps: many}\n")
        rc, out, err = self.run_cli("plan", "bad.yaml")
        self.assertEqual((rc, out), (2, ""))
        self.assertIn("bad.yaml:1:1: error: nmae: no such key; nearest is name\n    nmae: x\n    ^\n", err)
        self.assertIn("bad.yaml:2:18: error: resources.ranks: must lie between 1 and 4096, got 0", err)
        self.assertIn("3 errors in bad.yaml", err)
        rc, out, err = self.run_cli("plan", "bad.yaml", "--json")
        findings = clitest.json.loads(out)["findings"]
        self.assertEqual((rc, len(findings), findings[2]["line"]), (2, 3, 3))

    def test_set(self):
        self.check(2, "plan", "job.yaml", "--set", "train.bacth=3", says="nearest is train.batch")
        self.check(2, "plan", "job.yaml", "--set", "train.batch", says="--set expects KEY=VALUE")
        self.check(0, "plan", "job.yaml", "--set", "name=a=b")

    def test_files_that_are_none(self):
        self.check(3, "plan", "gone.yaml", says="cannot open gone.yaml")
        self.check(2, "plan", ".", says="is a folder")
        self.write("big.yaml", "#" * (10 << 20))
        self.check(2, "plan", "big.yaml", says="10485760 bytes")
        self.write("empty.yaml", "")
        self.check(2, "plan", "empty.yaml", says="nothing to do")
        self.write("binary.yaml", bytes(range(256)))
        self.check(2, "plan", "binary.yaml", says="is not UTF-8 text")


class Talk(StubTest):
    def test_ping(self):
        self.stub()
        self.assertIn("espalierd 9.9.9 at unix:", self.check(0, "ping"))
        self.assertEqual(self.check_json("ping", "--json")["version"], "9.9.9")
        self.assertIn("9.9.9", self.check(0, "ping", "--server", self.socket, ESPALIER_SERVER="unix:/nowhere"))

    def test_default_sockets(self):
        os.makedirs(self.path("state/espalier/run"), 0o700)
        self.socket = self.path("state/espalier/run/espalierd.sock")
        self.stub()
        self.check(0, "ping", ESPALIER_SERVER="", XDG_STATE_HOME=self.path("state"), XDG_RUNTIME_DIR="")
        os.makedirs(self.path("run/espalier"), 0o700)
        self.socket = self.path("run/espalier/espalierd.sock")
        self.stub()
        self.check(0, "ping", ESPALIER_SERVER="", XDG_RUNTIME_DIR=self.path("run"), XDG_STATE_HOME="/nowhere")

    def test_jobs_in_pages(self):
        self.stub()
        out = self.check(0, "jobs").splitlines()
        self.assertEqual((len(out), out[0].split()[0]), (21, "ID"))
        self.assertEqual(len(self.check(0, "jobs", "--limit", "500").splitlines()), 131)
        jobs = self.check_json("jobs", "--json", "--limit", "120")
        self.assertEqual([int(j["id"]) for j in jobs], list(range(130, 10, -1)))
        self.assertEqual(self.check_json("jobs", "--json", "-n1", "--state", "failed")[0]["state"], "FAILED")

    def test_show(self):
        self.stub()
        text = self.check(0, "show", "last")
        self.assertIn("job 7  stub  COMPLETED", text)
        self.assertIn("shared/model.safetensors", text)
        job = self.check_json("show", "7", "--json")
        self.assertEqual((job["state"], job["progress"]["params_kept"]), ("COMPLETED", 0.7))
        self.assertEqual(job["artifacts"][0]["sha256"], hashlib.sha256(MODEL).hexdigest())
        self.assertEqual(self.check(0, "show", "7", "--file"), "name: stub\n")
        self.check(3, "show", "99", says="there is no job 99")
        self.check(2, "show", "seven", says="'seven' is no job id")

    def test_submit(self):
        self.stub()
        rc, out, err = self.run_cli("submit", "job.yaml")
        self.assertEqual((rc, out, err), (0, "7\n", ""))
        self.assertEqual(self.check_json("submit", "job.yaml", "--json")["id"], "7")
        rc, out, err = self.run_cli("submit", "job.yaml", "--set", "train.batch=0")
        self.assertEqual((rc, out), (2, ""))
        self.assertIn("train.batch: must lie between 1", err)
        rc, out, err = self.run_cli("submit", "job.yaml", "--follow")
        self.assertEqual((rc, len(out.splitlines())), (0, 41))

    def test_submit_refused_by_the_daemon(self):
        self.stub("refuse")
        self.check(2, "submit", "job.yaml", says="job.yaml:2:3: error: data.task: is not there on the daemon's host")

    def test_cancel(self):
        self.stub()
        self.assertEqual(self.check(0, "cancel", "11", "--reason", "enough"), "11 STOPPING\n")
        self.assertEqual(self.check_json("cancel", "11", "--json"), {"id": "11", "state": "STOPPING"})
        self.check(5, "cancel", "7", "11", says="has ended")

    def test_metrics(self):
        self.stub()
        rows = self.check_json("metrics", "7", "--json", lines=True)
        self.assertEqual([(r["name"], r["value"], r["total_step"]) for r in rows],
                         [("loss.giou" if n % 2 else 'a "b", c', 1 / n, 10 * n) for n in range(1, 6)])
        self.assertEqual(len(self.check_json("metrics", "7", "loss.giou", "--json", lines=True)), 3)
        self.assertEqual(len(self.check_json("metrics", "7", "lo*", "--json", lines=True)), 3)
        self.assertEqual(self.check(0, "metrics", "7", "other", says="`espalier metrics 7` lists what there is"), "")
        table = list(csv.reader(io.StringIO(self.check(0, "metrics", "7", "--csv"))))
        self.assertEqual([row[2] for row in table], ["name"] + [r["name"] for r in rows])
        self.assertEqual([float(row[3]) for row in table[1:]], [r["value"] for r in rows])
        self.assertRegex(self.check(0, "metrics", "7"), r"loss.giou +0.2 +s +50 +0.2 +1 +3\n")
        self.assertEqual(len(self.check(0, "metrics", "7", "loss.giou").splitlines()), 3)

    def test_structure(self):
        self.stub()
        text = self.check(0, "structure", "last")
        self.assertIn("job 7  structure 2, read out at step 1200", text)
        self.assertIn("vision.0.msa", text)
        clitest.json.loads(self.check(0, "structure", "7", "--json", "--version", "1"))
        self.check(0, "structure", "7", "--svg", "map.svg")
        with open(self.path("map.svg")) as f:
            self.assertTrue(f.read().lstrip().startswith(("<svg", "<?xml")))
        self.check(3, "structure", "7", "--version", "5", says="has 2 structures")
        self.check(3, "structure", "7", "--svg", "no/such/map.svg", says="no/such/map.svg")


class Follow(StubTest):
    def restarting(self, *args, faults):
        """Runs the client while the server dies once and comes back."""
        server = self.stub(*faults)
        client = subprocess.Popen([ESPALIER, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  cwd=self.dir, env=self.environment())
        server.wait(timeout=30)
        time.sleep(0.3)
        self.stub()
        out, err = client.communicate(timeout=60)
        return client.returncode, out, err

    def test_results_are_exit_codes(self):
        self.stub()
        for job, code in (("7", 0), ("8", 20), ("9", 21), ("10", 22)):
            self.assertEqual(self.check(code, "wait", job), "")
            self.check(code, "watch", job)
        self.check(20, "wait", "8", says="job 8 is FAILED: told by a stub; `espalier logs 8` shows its log")

    def test_wait_has_a_limit(self):
        self.stub()
        start = time.monotonic()
        self.check(9, "wait", "11", "--timeout", "1", says="job 11 is still RUNNING")
        self.assertLess(time.monotonic() - start, 10)

    def test_watch_prints_lines(self):
        self.stub()
        lines = self.check(0, "watch", "last").splitlines()
        self.assertEqual(len(lines), 40)
        self.assertRegex(lines[0], r"^2026-\d\d-\d\d \d\d:\d\d:\d\d  state +STARTING \S+ RUNNING$")
        self.assertRegex(lines[1], r"progress +search 2/1000  loss 1.25  step 50 ms  ETA 0:35  kept 70.0 %")
        events = self.check_json("watch", "7", "--json", lines=True)
        self.assertEqual([e["cursor"] for e in events], list(range(1, 41)))
        self.assertEqual(events[-1]["state"]["to"], "COMPLETED")

    def test_watch_survives_a_restart(self):
        rc, out, err = self.restarting("watch", "7", "--json", faults=("die-in-watch",))
        self.assertEqual(rc, 0, err)
        self.assertEqual([clitest.json.loads(line)["cursor"] for line in out.splitlines()], list(range(1, 41)))
        self.assertIn("lost the connection", err)
        self.assertIn("again", err)

    def test_logs(self):
        self.stub()
        text = "".join("line %02d\n" % i for i in range(30))
        self.assertEqual(self.check(0, "logs", "7"), text)
        self.assertEqual(self.check(0, "logs", "last", "-f"), text)
        self.check(3, "logs", "99", says="there is no job 99")

    def test_logs_survive_a_restart(self):
        rc, out, err = self.restarting("logs", "7", "-f", faults=("die-in-logs",))
        self.assertEqual((rc, out), (0, "".join("line %02d\n" % i for i in range(30))), err)

    def test_ctrl_c_leaves_the_job(self):
        self.stub()
        client = subprocess.Popen([ESPALIER, "watch", "11"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  env=self.environment())
        for _ in range(40):
            client.stdout.readline()
        clitest.interrupt(client)
        _, err = client.communicate(timeout=30)
        self.assertEqual(client.returncode, 130)
        self.assertIn("left job 11, which goes on", err)

    def test_a_closed_pipe_ends_quietly(self):
        self.stub()
        client = subprocess.Popen([ESPALIER, "jobs", "--limit", "100", "--json"], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, env=self.environment())
        client.stdout.close()
        err = client.stderr.read()
        client.stderr.close()
        self.assertEqual((client.wait(timeout=30), err), (-signal.SIGPIPE, b""))


class Pull(StubTest):
    def read(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()

    def test_pull_all_then_nothing(self):
        self.stub()
        out = self.check(0, "pull", "7")
        self.assertEqual(self.read("job-7/shared/model.safetensors"), MODEL)
        self.assertEqual(self.read("job-7/result.json"), b"hello")
        self.assertEqual(self.read("job-7/empty"), b"")
        self.assertEqual(len(out.splitlines()), 3)
        again = self.check_json("pull", "7", "--json", lines=True)
        self.assertEqual([f["fetched"] for f in again], [False] * 3)

    def test_pull_of_a_running_job_says_so(self):
        self.stub()
        self.check(0, "pull", "11", says="espalier: job 11 is not over: this is what there was so far")

    def test_pull_by_name(self):
        self.stub()
        self.check(0, "pull", "last", "result.json", "-o", "out")
        self.assertEqual(os.listdir(self.path("out")), ["result.json"])
        self.check(0, "pull", "7", "shared/", "-o", "out")
        self.assertEqual(os.listdir(self.path("out/shared")), ["model.safetensors"])
        self.check(3, "pull", "7", "nothing", says="job 7 has no result 'nothing'")
        self.check(3, "pull", "8", says="job 8 has no results yet")

    def test_a_broken_transfer_goes_on(self):
        self.stub("die-in-download")
        self.check(8, "pull", "7", "shared", says="lost the connection")
        parts = os.listdir(self.path("job-7/shared"))
        self.assertEqual(len(parts), 1)
        self.assertRegex(parts[0], r"^model\.safetensors\.[0-9a-f]{12}\.part$")
        self.assertEqual(os.path.getsize(self.path("job-7/shared/" + parts[0])), 262144)
        self.stub()
        self.check(0, "pull", "7", "shared")
        self.assertEqual(os.listdir(self.path("job-7/shared")), ["model.safetensors"])
        self.assertEqual(self.read("job-7/shared/model.safetensors"), MODEL)

    def test_a_wrong_byte_is_found(self):
        self.stub("flip")
        self.check(12, "pull", "7", "shared", says="it is removed, pull again")
        self.assertEqual(os.listdir(self.path("job-7/shared")), [])

    def test_names_stay_in_the_folder(self):
        self.stub("climb")
        self.check(12, "pull", "7", says="outside its folder")
        self.assertFalse(os.path.exists(self.path("climbed")))


class Worker(CliTest):
    def test_data_becomes_the_worker(self):
        self.write("worker", "#!/bin/sh\nprintf '%s\\n' \"$@\"\nexit 5\n")
        os.chmod(self.path("worker"), 0o755)
        rc, out, _ = self.run_cli("data", "make", "shaperef", "--help", "--n=3 4", ESPALIER_WORKER=self.path("worker"))
        self.assertEqual((rc, out), (5, "data\nmake\nshaperef\n--help\n--n=3 4\n"))

    def test_no_worker(self):
        self.check(15, "data", "make", "shaperef", ESPALIER_WORKER=self.path("gone"), says="is not installed here")


class OnATerminal(StubTest):
    def test_live_view_draws_in_place(self):
        self.stub()
        term = Terminal(self, "watch", "7")
        code = term.close()
        screen = term.screen()
        self.assertEqual(code, 0)
        self.assertTrue(screen[0].startswith("job 7  stub  COMPLETED"), screen)
        self.assertEqual(sum("job 7" in line for line in screen), 1)
        self.assertTrue(any("\u2588" in line for line in screen), screen)
        self.assertTrue(any("70.0 %, target 62.0 %" in line for line in screen), screen)
        self.assertTrue(all(len(line) < 80 for line in screen), screen)
        self.assertTrue(term.raw.rstrip().endswith(b"\x1b[?25h"), term.raw[-80:])

    def test_live_view_survives_resize_and_ctrl_c(self):
        self.stub()
        term = Terminal(self, "watch", "11", rows=30, columns=100)
        self.assertTrue(term.read_until("39 / 1000"), term.text())
        term.resize(30, 60)
        term.raw = b""
        self.assertTrue(term.read_until("job 11"), term.text())
        for line in term.screen():
            self.assertLess(len(line), 60)
        code = term.close(signal.SIGINT)
        self.assertEqual(code, 130)
        self.assertIn("left job 11", term.text())
        self.assertIn(b"\x1b[?25h", term.raw)

    def test_next_commands_after_submit(self):
        self.stub()
        term = Terminal(self, "submit", "job.yaml")
        self.assertEqual(term.close(), 0)
        self.assertIn("espalier watch 7", term.text())

    def test_tables_fit(self):
        self.stub()
        term = Terminal(self, "jobs", columns=70)
        self.assertEqual(term.close(), 0)
        for line in term.screen():
            self.assertLessEqual(len(line), 70)


if __name__ == "__main__":
    clitest.main()
