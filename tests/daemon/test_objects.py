"""Checkpoints and structures as objects: the test plays the worker, the client's own binary (ESPALIER) is the user."""
import hashlib
import json
import os
import subprocess
import time

import grpc

from bed import J, R, Case, main

ESPALIER = os.environ["ESPALIER"]

JOB = """\
name: 'report=0 steps=1 step_ms=%d'
model: {size: tiny}
data: {pretrain: /etc/hostname, task: /etc/hostname, vocabulary: /etc/hostname}
phases.pretrain: {steps: 1000}
phases.search: {steps: %d}
train: {checkpoint_keep: %d}
checkpoint: {best: %d, quota_mib: %d}
%s"""


def first_words(table):
    return [line.split()[0] for line in table.splitlines()[1:]]


class Objects(Case):
    OPTIONS = ("--retries", "0", "--cores", "8")

    def cli(self, code, *args, cwd=None):
        env = dict(os.environ, ESPALIER_SERVER=self.d.address, LC_ALL="C.UTF-8", TZ="UTC")
        p = subprocess.run([ESPALIER, *args], env=env, capture_output=True, text=True, timeout=60, cwd=cwd or self.d.dir)
        self.assertEqual(p.returncode, code, "%s\n%s\n%s" % (args, p.stdout, p.stderr))
        if code:
            self.assertTrue(p.stderr.startswith("espalier: ") or ": error: " in p.stderr, p.stderr)
        self.said = p.stderr
        return p.stdout

    def begin(self, ms=600000, search=0, keep=2, best=0, quota=0, more=""):
        path = os.path.join(self.d.dir, "job.yaml")
        with open(path, "w") as f:
            f.write(JOB % (ms, search, keep, best, quota, more))
        job = self.cli(0, "submit", path).strip()
        self.d.wait(job, "STARTING")
        return self.attempt(job)

    def attempt(self, job):
        with open(os.path.join(self.d.folder(job), "attempt.json")) as f:
            attempt = json.load(f)
        self.ids = {"job_id": job, "attempt": attempt["attempt"], "token": attempt["token"]}
        self.number = 0
        return job

    def report(self, **record):
        self.number += 1
        self.assertEqual(self.c.report(records=[R.Record(number=self.number, time_ms=1000, **record)], **self.ids)
                         .acknowledged, self.number)

    # ---- checkpoints

    def write(self, job, step, size=1000, metric=None, stage=2, report=True, by="loss"):
        """A file as a worker leaves it; its name."""
        name = "checkpoints/step-%012d.safetensors" % (step * 16 + stage)
        data = os.urandom(size)
        sha = hashlib.sha256(data).hexdigest()
        path = os.path.join(self.d.folder(job), name)
        with open(path, "wb") as f:
            f.write(data)
        with open(path + ".sha256", "w") as f:
            f.write("%s  %s\n" % (sha, os.path.basename(path)))
        note = J.CheckpointNote(path=name, total_step=step, size_bytes=size, sha256=sha, phase="task")
        if metric is not None:
            note.metric_name, note.metric = by, metric
        if report:
            self.report(checkpoint=note)
        return name

    def there(self, job):
        folder = os.path.join(self.d.folder(job), "checkpoints")
        return sorted("checkpoints/" + n for n in os.listdir(folder) if n.endswith(".safetensors"))

    def rows(self, job):
        return json.loads(self.cli(0, "ckpt", "ls", job, "--json"))

    def test_list_get_verify(self):
        job = self.begin()
        self.cli(0, "ckpt", "ls", job)
        self.assertIn("has no checkpoints", self.said)
        a, b = self.write(job, 10, metric=0.5), self.write(job, 20, size=600000, metric=0.7)
        c = self.write(job, 30)
        rows = self.rows(job)
        self.assertEqual([(r["name"], r["total_step"], r["attempt"], r["phase"], r["metric"], r["present"], r["time_ms"])
                          for r in rows], [(a, 10, 1, "task", 0.5, True, 1000), (b, 20, 1, "task", 0.7, True, 1000),
                                           (c, 30, 1, "task", 0, True, 1000)])
        table = self.cli(0, "ckpt", "ls", job)
        self.assertRegex(table, r"step-000000000322\.safetensors +20 +task +1 +loss 0\.7 +585\.9 KiB")
        for name, right in ((b, b), (os.path.basename(b), b), ("20", b), ("best", a), ("newest", c)):
            self.cli(0, "ckpt", "get", job, name, "-o", "out.bin")
            with open(os.path.join(self.d.dir, "out.bin"), "rb") as f, open(os.path.join(self.d.folder(job), right), "rb") as g:
                self.assertEqual(f.read(), g.read())
            os.remove(os.path.join(self.d.dir, "out.bin"))
        self.cli(0, "ckpt", "get", job, "10")
        self.assertTrue(os.path.exists(os.path.join(self.d.dir, os.path.basename(a))))
        self.assertIn(rows[1]["sha256"], self.cli(0, "ckpt", "verify", job, "20"))
        self.assertEqual(len(self.cli(0, "ckpt", "verify", job).splitlines()), 3)
        with open(os.path.join(self.d.folder(job), b), "r+b") as f:
            f.seek(300000)
            f.write(b"\0\1\2")
        self.cli(12, "ckpt", "verify", job)
        self.assertIn("is damaged: its SHA-256 is", self.said)
        self.cli(12, "ckpt", "get", job, "20", "-o", "bad")
        self.assertFalse(os.path.exists(os.path.join(self.d.dir, "bad")))
        os.truncate(os.path.join(self.d.folder(job), c), 999)
        self.cli(12, "ckpt", "verify", job, "30")
        self.assertIn("it has 999 bytes, and 1000 were reported", self.said)
        self.assertFalse(self.rows(job)[2]["present"])
        for verb in ("get", "verify", "pin"):
            self.cli(3, "ckpt", verb, job, "40")
            self.assertIn("has no checkpoint '40'", self.said)
        for args in (("ckpt", "ls"), ("ckpt", "get", job), ("ckpt", "drop", job)):
            self.cli(2, *args)
        self.cli(3, "ckpt", "ls", "77")

    def test_an_inventory_forgets_what_is_gone(self):
        job = self.begin()
        names = [self.write(job, step) for step in (10, 20, 30)]
        self.cli(0, "ckpt", "pin", job, "10")
        os.remove(os.path.join(self.d.folder(job), names[0]))
        os.remove(os.path.join(self.d.folder(job), names[1]))
        self.report(inventory=R.CheckpointInventory(paths=names[2:]))
        rows = self.rows(job)
        pinned = names[0].replace("checkpoints/", "checkpoints/pinned/")
        self.assertEqual([(r["name"], r["pinned"], r["present"]) for r in rows], [(pinned, True, True),
                                                                                (names[2], False, True)])
        before = len(self.d.events(job))
        again = J.CheckpointNote(path=names[2], total_step=30, size_bytes=1000, sha256=rows[1]["sha256"], phase="task")
        self.report(checkpoint=again)  # as the next attempt does when it starts
        self.assertEqual(len(self.d.events(job)), before)

    def test_pins(self):
        job = self.begin()
        a, b = self.write(job, 10), self.write(job, 20)
        pinned = json.loads(self.cli(0, "ckpt", "pin", job, "10", "--json"))
        self.assertTrue(pinned["pinned"])
        self.cli(0, "ckpt", "pin", job, "10")  # again is no error
        self.assertEqual([(r["name"], r["pinned"]) for r in self.rows(job)], [(a, True), (b, False)])
        os.remove(os.path.join(self.d.folder(job), a))  # as a worker's collection does
        self.assertIn(os.path.basename(a), self.cli(0, "ckpt", "verify", job, "10"))
        self.cli(0, "ckpt", "get", job, "10", "-o", "ten")
        self.assertEqual([(r["pinned"], r["present"]) for r in self.rows(job)], [(True, True), (False, True)])
        self.d.restart()
        self.cli(0, "ckpt", "unpin", job, "10")
        self.assertEqual([(r["name"], r["pinned"], r["present"]) for r in self.rows(job)],
                         [(a, False, True), (b, False, True)])
        self.assertEqual(os.listdir(os.path.join(self.d.folder(job), "checkpoints", "pinned")), [])
        self.cli(0, "ckpt", "unpin", job, "20")
        # One that was written anew under the same name is another checkpoint.
        self.cli(0, "ckpt", "pin", job, "20")
        os.remove(os.path.join(self.d.folder(job), b))  # a worker renames a new file over it
        self.write(job, 20)
        rows = self.rows(job)
        self.assertEqual(sorted((r["total_step"], r["pinned"]) for r in rows), [(10, False), (20, False), (20, True)])
        self.cli(5, "ckpt", "unpin", job, "20")
        self.assertIn("was written anew since", self.said)

    def over(self, job):
        self.c.call("Cancel", id=job)
        self.d.wait(job, "CANCELLED")

    def test_collection(self):
        job = self.begin(keep=2, best=1)
        names = [self.write(job, s, metric=m) for s, m in ((10, .9), (20, .2), (30, .8), (40, .7), (50, .6), (60, .5))]
        self.cli(5, "ckpt", "gc", job)
        self.assertIn("its worker collects by itself", self.said)
        self.cli(0, "ckpt", "pin", job, "10")
        would = json.loads(self.cli(0, "ckpt", "gc", job, "--dry-run", "--json"))
        self.assertEqual([(c["name"], c["why"]) for c in would["collected"]], [(n, "old") for n in (names[0], *names[2:4])])
        self.assertEqual(would["kept_bytes"], 3000)
        self.assertEqual(self.there(job), names)
        self.over(job)
        os.remove(os.path.join(self.d.folder(job), names[2]))
        lost = self.write(job, 35, report=False)  # its worker was killed before it could tell
        out = self.cli(0, "ckpt", "gc", job)
        self.assertEqual(first_words(out), [names[2], names[0], lost, names[3]])
        self.assertRegex(out.splitlines()[1], r"goes +missing$")
        self.assertIn("4 checkpoints, 2.9 KiB are gone; 2.9 KiB stay", self.said)
        self.assertEqual(self.there(job), [names[1], *names[4:]])
        self.assertEqual([r["total_step"] for r in self.rows(job)], [10, 20, 50, 60])
        self.assertEqual(self.cli(0, "ckpt", "gc", job), "")
        self.await_empty(os.path.join(self.d.home, "trash"))

    def test_the_best_by_a_score(self):
        job = self.begin(keep=1, best=2, more="data.eval: /etc/hostname\ncheckpoint.best_by: p1\n"
                                              "evaluate.at_checkpoints: true\n")
        names = [self.write(job, s, metric=m, by=by) for s, m, by in
                 ((10, .9, "p1"), (20, .2, "p1"), (30, .1, "loss"), (40, .7, "p1"), (50, .8, "p1"))]
        names.append(self.write(job, 60))  # it was asked to stop, and scored nothing
        self.cli(0, "ckpt", "pin", job, "20")
        would = json.loads(self.cli(0, "ckpt", "gc", job, "--dry-run", "--json"))
        self.assertEqual([(c["name"], c["why"]) for c in would["collected"]], [(n, "old") for n in names[1:4]])
        self.assertEqual([(c["name"], c["why"], c["metric_name"], c["metric"]) for c in would["kept"]],
                         [(names[1].replace("/", "/pinned/"), "pinned", "p1", .2), (names[0], "best", "p1", .9),
                          (names[4], "best", "p1", .8), (names[5], "newest", "", 0)])
        self.assertRegex(self.cli(0, "ckpt", "gc", job, "--dry-run"), r"000000162\S+ +1000 B +p1 0\.9 +stays +best\n")
        self.cli(0, "ckpt", "get", job, "best", "-o", "best")
        with open(os.path.join(self.d.dir, "best"), "rb") as f, open(os.path.join(self.d.folder(job), names[0]), "rb") as g:
            self.assertEqual(f.read(), g.read())
        self.d.restart()
        self.over(job)
        self.cli(0, "ckpt", "gc", job)
        self.assertEqual(self.there(job), [names[0], *names[4:]])
        # What is not measured cannot be the best.
        path = os.path.join(self.d.dir, "job.yaml")
        self.cli(2, "submit", path, "--set", "evaluate.at_checkpoints=false")
        self.assertIn("p1 is not measured: checkpoints of this job record loss alone; set evaluate.at_checkpoints", self.said)

    def test_a_quota_leaves_the_newest(self):
        job = self.begin(keep=5, quota=1)
        names = [self.write(job, s, size=400 << 10) for s in (10, 20, 30)]
        big = self.write(job, 40, size=2 << 20)
        self.over(job)
        out = self.cli(0, "ckpt", "gc", job)
        self.assertEqual(first_words(out), names)
        self.assertIn("over quota", out)
        self.assertEqual(self.there(job), [big])

    def start_with_points(self):
        point = os.path.join(self.d.dir, "point")
        self.d.env = dict(os.environ, LD_PRELOAD=os.environ["KILL_POINT_LIB"], KILL_POINT=point,
                          ASAN_OPTIONS="verify_asan_link_order=0")
        self.d.restart()
        return point

    def test_an_unpin_killed_at_each_point(self):
        """The pinned name goes only once the store says so: until then it may be the only one."""
        point = self.start_with_points()
        job = self.begin()
        name, dead, kills = self.write(job, 10), True, 0
        self.over(job)
        while dead:
            self.cli(0, "ckpt", "pin", job, "10")
            with open(point, "w") as f:
                f.write("%d\n" % kills)
            try:
                self.c.call("PinCheckpoint", id=job, name="10", pinned=False)
            except grpc.RpcError as e:
                self.assertEqual(e.code(), grpc.StatusCode.UNAVAILABLE)
                self.d.process.wait()
            os.remove(point)
            dead = self.d.process.poll() is not None
            if dead:
                kills += 1
                self.d.process.stdout.close()
                self.d.log.close()
                self.d.start()
            self.assertTrue(all(r["present"] for r in self.rows(job)), (kills, self.rows(job)))
            self.cli(0, "ckpt", "verify", job)
            self.cli(0, "ckpt", "unpin", job, "10")
            self.assertEqual([(r["name"], r["pinned"]) for r in self.rows(job)], [(name, False)])
        self.assertGreaterEqual(kills, 5)  # the sum and its rename, the store's pages and fsync, the pinned name

    def test_a_collection_killed_at_each_point(self):
        """Before every change of a file that a collection makes: afterwards nothing is half, and the next one ends it."""
        point = self.start_with_points()
        job = self.begin(keep=1, best=1)
        stay = [self.write(job, 30, metric=.1), self.write(job, 60, metric=.6)]
        self.over(job)
        kills, trash = 0, os.path.join(self.d.home, "trash")
        while self.killed(job, point, kills):
            kills += 1
            self.d.process.stdout.close()
            self.d.log.close()
            self.d.start()
            files = self.there(job)
            self.assertLessEqual(set(stay), set(files))
            self.assertTrue(all(r["present"] for r in self.rows(job)), self.rows(job))
            self.assertLessEqual({r["name"] for r in self.rows(job)}, set(files))
            self.cli(0, "ckpt", "verify", job)
            self.cli(0, "ckpt", "gc", job)
            self.assertEqual(self.there(job), stay)
            self.assertEqual([r["name"] for r in self.rows(job)], stay)
            folder = os.path.join(self.d.folder(job), "checkpoints")
            self.assertEqual(sorted(n for n in os.listdir(folder) if n.startswith("step-")),
                             sorted(os.path.basename(n) + end for n in stay for end in ("", ".sha256")))
            self.await_empty(trash)
        self.assertGreaterEqual(kills, 9)  # the store's pages and its fsync; a file and its sum, twice; two in the trash
        print(kills, "kills")

    def killed(self, job, point, at):
        """Lays two checkpoints that go and collects; whether the daemon died at its change number `at`."""
        with self.d.database() as db:
            for step in (10, 20):
                name = self.write(job, step, report=False)
                db.execute("INSERT OR REPLACE INTO checkpoints (job_id, path, attempt, total_step, size_bytes, sha256, time_ms)"
                           " VALUES (?,?,1,?,1000,?,1000)", (job, name, step, self.sha(job, name)))
        with open(point, "w") as f:
            f.write("%d\n" % at)
        try:
            self.c.call("CollectCheckpoints", id=job)
            while self.d.process.poll() is None and os.listdir(os.path.join(self.d.home, "trash")):
                time.sleep(0.01)
        except grpc.RpcError as e:
            self.assertEqual(e.code(), grpc.StatusCode.UNAVAILABLE)
            self.d.process.wait()
        os.remove(point)
        return self.d.process.poll() is not None

    def sha(self, job, name):
        with open(os.path.join(self.d.folder(job), name), "rb") as f:
            return hashlib.sha256(f.read()).hexdigest()

    def await_empty(self, folder):
        deadline = time.monotonic() + 20
        while os.listdir(folder):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)

    def test_rows_of_schema_1(self):
        """Its workers collected without a word: rows of files that are older than one that is there say nothing."""
        self.d.end()
        os.remove(os.path.join(self.d.home, "espalier.db"))
        with open(os.path.join(os.path.dirname(__file__), "stores", "schema_1.sql")) as f, self.d.database() as db:
            db.executescript(f.read())
            for step in (1, 2, 3, 4):
                db.execute("INSERT INTO checkpoints VALUES (1, ?, 1, ?, 1000, ?)",
                           ("checkpoints/step-%012d.safetensors" % (step * 16), step, "0" * 64))
        os.makedirs(os.path.join(self.d.home, "jobs", "1", "checkpoints"))
        self.d.start()
        self.write("1", 3, stage=0, report=False)
        self.assertEqual([(r["total_step"], r["present"]) for r in self.rows("1")], [(3, True), (4, False)])
        self.assertRegex(self.cli(0, "ckpt", "ls", "1"), r"000000064\S+ +4 .* missing")
        would = json.loads(self.cli(0, "ckpt", "gc", "1", "--dry-run", "--json"))
        self.assertEqual([c["why"] for c in would["collected"]], ["collected", "collected", "missing"])
        self.cli(0, "ckpt", "gc", "1")
        self.assertEqual([r["total_step"] for r in self.rows("1")], [3])

    # ---- structures

    def test_structures(self):
        job = self.begin(search=100)
        plan = json.loads(self.cli(0, "plan", os.path.join(self.d.dir, "job.yaml"), "--json"))["plan"]
        counts = plan["params_whole"], plan["params_backbones"]
        first = structure_json(*counts, [])
        second = structure_json(*counts, [("vision.0.ffn", range(10)), ("text.0.msa", [1])])
        for step, text in ((5, first), (5, first), (9, second)):
            self.report(structure=R.StructureVersion(total_step=step, params_kept=.9, pruned=.25, shared=0,
                                                     structure_json=text.encode()))
        history = json.loads(self.cli(0, "structure", "history", job, "--json"))
        self.assertEqual([(h["version"], h["total_step"], h["params_kept"], h["sha256"]) for h in history],
                         [(i + 1, s, .9, hashlib.sha256(t.encode()).hexdigest()) for i, (s, t) in
                          enumerate(((5, first), (9, second)))])
        self.assertRegex(self.cli(0, "structure", "history", job), r"2 +9 +90\.0 % +25\.0 % +0\.0 %")
        for args in (("structure", job), ("structure", "show", job), ("structure", "show", job + ":2")):
            self.assertIn("structure 2, read out at step 9", self.cli(0, *args))
        self.assertEqual(self.cli(0, "structure", "show", job, "--version", "1", "--json"), first)
        diff = json.loads(self.cli(0, "structure", "diff", job, "1", "2", "--json"))
        self.assertEqual([(s["site"], s["pruned"], s["kept_again"]) for s in diff["sites"]],
                         [("vision.0.ffn", 10, 0), ("text.0.msa", 1, 0)])
        text = self.cli(0, "structure", "diff", job + ":2", job + ":1")
        self.assertRegex(text, r"vision\.0\.ffn +\d+ -> +\d+/\d+ +\+m 10")
        self.assertIn("no group differs", self.cli(0, "structure", "diff", job, "1", "1"))
        self.cli(0, "structure", "diff", job, "1", "2", "--svg", "d.svg")
        with open(os.path.join(self.d.dir, "d.svg")) as f:
            self.assertTrue(f.read().startswith("<svg"))
        self.cli(3, "structure", "diff", job, "1", "3")
        self.assertIn("no structure version 3", self.said)
        self.cli(2, "structure", "diff", job, "one", "2")
        self.cli(2, "structure", "show", job + ":x")
        # A job that starts on it.
        path = os.path.join(self.d.dir, "job.yaml")
        self.cli(0, "plan", path)
        self.assertIn("hypernetwork steps before the freeze", self.said)
        applied = json.loads(self.cli(0, "structure", "apply", job + ":2", path, "--json"))
        self.assertNotIn("hypernetwork", self.said + str(applied["findings"]))
        self.assertEqual(applied["plan"]["params_target"], json.loads(second)["parameters"]["whole"])
        other = applied["id"]
        self.d.wait(other, "STARTING")
        with open(os.path.join(self.d.folder(other), "start-structure.json")) as f:
            self.assertEqual(f.read(), second)
        with open(os.path.join(self.d.dir, "second.json"), "w") as f:
            f.write(second)
        third = self.cli(0, "structure", "apply", "second.json", path, "--hold").strip()
        self.assertEqual(self.d.state(third), "HELD")
        self.cli(0, "submit", path, "--set", "method.structure=second.json")
        self.assertNotIn("hypernetwork", self.said)
        self.cli(2, "structure", "apply", job + ":2", path, "--set", "model.text_layers=2")
        self.assertIn("the structure is of another model than the job file's: the text backbone has", self.said)
        self.cli(2, "structure", "apply", job + ":2", path, "--set", "phases.search.steps=0")
        self.assertIn("a structure needs phases.search.steps", self.said)
        self.cli(2, "submit", path, "--set", "method.structure=second.json", "--set", "method.block_size=2")
        self.assertIn("method.block_size is", self.said)
        with open(os.path.join(self.d.dir, "second.json"), "w") as f:
            f.write(second.replace("0", "2", 40))
        self.cli(2, "structure", "apply", "second.json", path)


# The tiny model: docs/spec/model-mdetr.md 7.
LAYERS, WIDTH, HEADS, FFN, BLOCK = 4, 96, 4, 384, 3


def structure_json(whole, backbones, drop):
    """A structure as a worker writes it: nothing shared, `drop` pruned."""
    gone = {site: set(groups) for site, groups in drop}
    sites, less = [], 0
    for side in ("vision", "text"):
        for layer in range(LAYERS):
            for part, n, cost in (("msa", HEADS, 4 * WIDTH * WIDTH // HEADS + 3 * WIDTH // HEADS), ("ffn", FFN, 2 * WIDTH + 1)):
                name = "%s.%d.%s" % (side, layer, part)
                bits = "".join("0" if g in gone.get(name, ()) else "1" for g in range(n))
                less += bits.count("0") * cost
                site = {"site": name, "m": bits}
                if side == "text" and not (part == "msa" and layer >= LAYERS):
                    site["s"] = "0" * n
                sites.append(site)
    return json.dumps({"format": "espalier-structure", "version": 1,
                       "vision": {"layers": LAYERS, "width": WIDTH, "heads": HEADS, "ffn": FFN},
                       "text": {"layers": LAYERS, "width": WIDTH, "heads": HEADS, "ffn": FFN},
                       "options": {"block_size": BLOCK, "cross_msa": True, "cross_ffn": True, "block_msa": True,
                                   "block_ffn": False, "prune": True, "share": True},
                       "parameters": {"dense_whole": whole, "dense_backbones": backbones, "whole": whole - less,
                                      "backbones": backbones - less}, "sites": sites}) + "\n"


if __name__ == "__main__":
    main()
