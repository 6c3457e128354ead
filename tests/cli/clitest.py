"""What the client's end-to-end tests share: programs from the environment, a temp folder, a terminal.

ESPALIER, STUB_SERVER, ESPALIERD name the programs (tests/cli/CMakeLists.txt sets them).
"""
import atexit
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import termios
import time
import fcntl
import unittest

ESPALIER = os.environ["ESPALIER"]

JOB = """name: {name}
data: {{pretrain: pretrain.json, task: task.json, eval: eval.json, vocabulary: words.txt}}
phases.pretrain: {{steps: 300, warmup_steps: 20}}
"""


class CliTest(unittest.TestCase):
    """A temp folder with job.yaml and data files; self.socket is where a server listens."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="espalier-cli-")
        atexit.register(shutil.rmtree, self.dir, ignore_errors=True)  # whatever fails before its own removal
        self.socket = os.path.join(self.dir, "run", "d.sock")
        os.mkdir(os.path.dirname(self.socket), 0o700)
        self.servers = []
        for name in ("pretrain.json", "task.json", "eval.json"):
            self.write(name, "{}")
        self.write("words.txt", "".join("word%d\n" % i for i in range(50)))
        self.write("job.yaml", JOB.format(name="first"))

    def tearDown(self):
        for server in self.servers:
            if server.poll() is None:
                server.terminate()
            server.communicate(timeout=30)
        shutil.rmtree(self.dir)

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        with open(self.path(name), "w" if isinstance(text, str) else "wb") as f:
            f.write(text)

    def environment(self, **extra):
        env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS")}
        env.update(ESPALIER_SERVER="unix:" + self.socket, LC_ALL="C.UTF-8", TERM="xterm", HOME=self.dir,
                   TZ="UTC")
        env.update(extra)
        return env

    def start_server(self, argv, ready):
        """Starts a server and waits for the line that it is ready."""
        server = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.servers.append(server)
        line = server.stdout.readline()
        self.assertIn(ready, line, "%s did not start" % argv[0])
        return server

    def run_cli(self, *args, stdin=None, timeout=60, **env):
        """(exit code, stdout, stderr) as text."""
        done = subprocess.run([ESPALIER, *args], input=stdin, capture_output=True, timeout=timeout, cwd=self.dir,
                              env=self.environment(**env), text=not isinstance(stdin, bytes))
        decode = (lambda b: b.decode()) if isinstance(done.stdout, bytes) else (lambda s: s)
        return done.returncode, decode(done.stdout), decode(done.stderr)

    def check(self, code, *args, says=None, **kw):
        """Runs; the exit code must be `code`, stderr must hold `says` in one sentence. Returns stdout."""
        rc, out, err = self.run_cli(*args, **kw)
        self.assertEqual(rc, code, "%s\nstdout: %s\nstderr: %s" % (args, out, err))
        if says is not None:
            self.assertIn(says, err)
        if code in range(1, 20):
            self.assertTrue(err.startswith("espalier: ") or ": error: " in err, err)
        self.assertNotIn("Sanitizer", err)
        return out

    def check_json(self, *args, code=0, lines=False, **kw):
        out = self.check(code, *args, **kw)
        return [json.loads(line) for line in out.splitlines()] if lines else json.loads(out)


class Terminal:
    """The client in a pseudo-terminal, and what its screen shows (only what the live view uses is understood)."""

    def __init__(self, test, *args, rows=30, columns=80):
        self.rows, self.columns = rows, columns
        self.raw = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(test.dir)
            os.execve(ESPALIER, [ESPALIER, *args], test.environment())
        self.resize(rows, columns)

    def resize(self, rows, columns):
        self.rows, self.columns = rows, columns
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds):
        """Reads for so long, or to the end; False at the end."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if select.select([self.fd], [], [], until - time.monotonic())[0]:
                try:
                    data = os.read(self.fd, 65536)
                except OSError:
                    data = b""
                if not data:
                    return False
                self.raw += data
        return True

    def read_until(self, text, seconds=30):
        until = time.monotonic() + seconds
        while text not in self.text() and time.monotonic() < until:
            if not self.read(0.1):
                break
        return text in self.text()

    def text(self):
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.raw.decode(errors="replace"))

    def screen(self):
        """The lines as they stand, at a width that never changed."""
        lines, row, col = [""], 0, 0
        for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", self.raw.decode(errors="replace")):
            if part == "\r":
                col = 0
            elif part == "\n":
                row += 1
                if row == len(lines):
                    lines.append("")
            elif part.startswith("\x1b["):
                n = int(re.sub(r"\D", "", part) or 1)
                if part.endswith("A"):
                    row = max(0, row - n)
                elif part.endswith("K"):
                    lines[row] = lines[row][:col]
                elif part.endswith("J"):
                    lines[row] = lines[row][:col]
                    del lines[row + 1:]
            else:
                lines[row] = lines[row][:col].ljust(col) + part + lines[row][col + len(part):]
                col += len(part)
        return lines

    def close(self, sig=None):
        """Exit code."""
        if sig:
            os.kill(self.pid, sig)
        while self.read(1):
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def interrupt(process):
    process.send_signal(signal.SIGINT)


def main():
    unittest.main(verbosity=2)
