"""Manual pages and completions, which are made from the tables of commands and keys."""
import os
import re
import subprocess
import tempfile
import unittest

from deploytest import BUILD, MADE, Daemon, have, main, run

BIN = os.path.join(BUILD, "bin")
PAGES = ("espalier.1", "espalier-worker.1", "espalier-job-file.5", "espalierd.8")


class Pages(unittest.TestCase):
    def test_no_warnings(self):
        for page in PAGES:
            path = os.path.join(MADE, "man", page)
            if have("mandoc", "mandoc"):
                self.assertEqual(run("mandoc", "-Tlint", "-Wwarning", path).stdout, "")
            if have("man", "man-db"):
                got = run("man", "--warnings=all", "-E", "UTF-8", "-l", "-Tutf8", "-Z", path)
                self.assertEqual((got.returncode, got.stderr), (0, ""))

    def text(self, page):
        got = run("man", "-l", os.path.join(MADE, "man", page), env={**os.environ, "MANWIDTH": "120", "LC_ALL": "C.UTF-8"})
        return re.sub(r"\x1b\[\d+m|.\x08", "", got.stdout)

    def test_everything_is_in(self):
        if not have("man", "man-db"):
            return
        text = self.text("espalier.1")
        overview = run(os.path.join(BIN, "espalier"), "help").stdout
        commands = re.findall(r"^  (\w+)  +\S", overview.split("Commands")[1].split("Start here")[0], re.M)
        self.assertGreater(len(commands), 12)
        for command in commands:
            self.assertRegex(text, r"(?m)^   %s$" % command)
            for option in re.findall(r"(--[a-z-]+)", run(os.path.join(BIN, "espalier"), "help", command).stdout):
                self.assertIn(option, text)
        self.assertRegex(text, r"(?m)^ +21 +The job is CANCELLED")
        daemon = self.text("espalierd.8")
        for option in re.findall(r"^  (--[a-z-]+)", run(os.path.join(BIN, "espalierd"), "--help").stdout, re.M):
            self.assertIn(option, daemon)
        keys = run(os.path.join(BIN, "espalier"), "help", "job-file").stdout
        page = self.text("espalier-job-file.5")
        for key in re.findall(r"^  ([a-z_.]+) ", keys, re.M):
            self.assertRegex(page, r"(?m)^ +%s\b" % re.escape(key))

    def test_unknown(self):
        for arguments, said in ((("nonsense", "--man"), "no manual page on 'nonsense'"),
                                (("--completion", "fish"), "knows bash and zsh")):
            got = run(os.path.join(BIN, "espalier"), "help", *arguments)
            self.assertNotEqual(got.returncode, 0)
            self.assertEqual(got.stdout, "")
            self.assertIn(said, got.stderr)


def split(line):
    """Words as readline makes them with bash's COMP_WORDBREAKS."""
    return [w for part in line.split(" ") for w in (re.split(r"([:=])", part) if part else [""])
            if w or not part or part[-1] in ":="]


class Completion(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.d = Daemon(BIN).start()
        cls.scratch = tempfile.TemporaryDirectory()
        cls.ids = [cls.d.submit("steps=1", cls.scratch.name) for _ in range(3)]

    @classmethod
    def tearDownClass(cls):
        cls.d.end()
        cls.scratch.cleanup()

    def bash(self, line, script="espalier", environment=None):
        words = split(line)
        program = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _%s; printf "%%s\\n" "${COMPREPLY[@]}"'
        got = subprocess.run(["bash", "--norc", "-uc", "set +u; " + program % script, "bash",
                              os.path.join(MADE, "completion", script + ".bash"), *words], capture_output=True, text=True,
                             timeout=60, cwd=self.scratch.name,
                             env={**self.d.environment, "PATH": BIN + ":" + os.environ["PATH"], **(environment or {})})
        self.assertEqual(got.stderr.replace("bash: line 1: compopt: not currently executing completion function\n", ""), "")
        return got.stdout.split("\n")[:-1] if got.stdout != "\n" else []

    def test_syntax(self):
        for name in ("espalier.bash", "espalierd.bash"):
            self.assertEqual(run("bash", "-n", os.path.join(MADE, "completion", name)).stderr, "")
            if have("shellcheck", "shellcheck"):
                self.assertEqual(run("shellcheck", os.path.join(MADE, "completion", name)).stdout, "")
        if have("zsh", "zsh"):
            self.assertEqual(run("zsh", "-n", os.path.join(MADE, "completion", "espalier.zsh")).stderr, "")

    def test_bash(self):
        for line, want in (("espalier su", ["submit"]), ("espalier wa", ["watch", "wait"]),
                           ("espalier --color ", ["auto", "always", "never"]), ("espalier --color never can", ["cancel"]),
                           ("espalier cancel --rea", ["--reason"]), ("espalier cancel --ser", ["--server"]),
                           ("espalier jobs --state st", ["starting", "stopping", "stalled"]),
                           ("espalier submit job", ["job.yaml"]), ("espalier plan x.yaml --set train.ba", ["train.batch="]),
                           ("espalier help job", ["jobs", "job-file"]), ("espalier pull -o ", []),
                           ("espalier ckpt ", ["ls", "get", "pin", "unpin", "verify", "gc"]), ("espalier ckpt un", ["unpin"]),
                           ("espalier token add x --role op", ["operator"]), ("espalier resolve 1 --as ", ["failed", "requeue"]),
                           ("espalier help --completion z", ["zsh"]), ("espalier structure hi", ["history"]),
                           ("espalier jobs -n ", []), ("espalier jobs x", [])):
            got = self.bash(line)
            self.assertEqual(sorted(got), sorted(want), line)

    def test_ids(self):
        everything = sorted([*self.ids, "last"])
        for line in ("espalier show ", "espalier wait ", "espalier cancel %s " % self.ids[0], "espalier logs -f ", "espalier ckpt ls ",
                     "espalier structure history "):
            self.assertEqual(sorted(self.bash(line)), everything, line)
        self.assertEqual(sorted(self.bash("espalier structure ")), sorted([*everything, "show", "history", "diff", "apply"]))
        self.assertEqual(self.bash("espalier show l"), ["last"])
        away = {"ESPALIER_SERVER": "unix:/nonexistent/s"}
        self.assertEqual(self.bash("espalier show ", environment=away), ["last"])  # no daemon: no noise, no wait
        for server in ("--server %s ", "--server=%s "):
            self.assertEqual(sorted(self.bash("espalier " + server % self.d.address + "show ", environment=away)), everything)

    def test_espalierd(self):
        for line, want in (("espalierd con", ["config"]), ("espalierd config ", ["show", "check", "help", "example"]),
                           ("espalierd --stop-", ["--stop-term", "--stop-kill"]), ("espalierd --launcher f", ["fake"]),
                           ("espalierd config show --ori", ["--origin"]), ("espalierd backup job", ["job.yaml"])):
            self.assertEqual(sorted(self.bash(line, "espalierd")), sorted(want), line)

    def test_zsh(self):
        """A real interactive zsh on a pseudo terminal, with TAB."""
        if not have("zsh", "zsh"):
            return
        functions = os.path.join(self.scratch.name, "functions")
        os.mkdir(functions)
        os.symlink(os.path.join(MADE, "completion", "espalier.zsh"), os.path.join(functions, "_espalier"))
        script = r"""
zmodload zsh/zpty
complete() {
    zpty z zsh -fi
    zpty -w z "PS1=; fpath=($1 \$fpath); autoload -U compinit; compinit -u -D; cd $2"
    zpty -w z "compdef _espalier espalier; zstyle ':completion:*' format ''; LISTMAX=1000; bindkey '^I' complete-word; echo rea''dy"
    zpty -r z found '*ready*'
    zpty -w -n z "$3"$'\t'
    sleep ${4:-1}
    zpty -w -n z $'\x15echo e''nd\n'
    zpty -r z found '*end*'
    print -r -- $found
    zpty -d z
}
complete "$@"
"""
        def zsh(line, seconds="1"):
            got = run("zsh", "-fc", script, "zsh", functions, self.scratch.name, line, seconds,
                      env={**self.d.environment, "PATH": BIN + ":" + os.environ["PATH"], "TERM": "dumb"}).stdout
            return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|[\x07\r]", "", got)
        self.assertIn("espalier submit", zsh("espalier subm"))
        self.assertIn("--reason", zsh("espalier cancel --rea"))
        self.assertIn("ckpt verify", zsh("espalier ckpt veri"))
        self.assertIn("train.batch=", zsh("espalier plan x --set train.ba"))
        listed = zsh("espalier show ", "3")
        for job in self.ids:
            self.assertRegex(listed, r"(?m)\b%s\b" % job)


if __name__ == "__main__":
    main()
