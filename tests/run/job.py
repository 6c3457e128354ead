"""A tiny job and the ways to run, kill and compare it. Used by test_resume.py, test_ranks.py, test_guards.py."""
import atexit
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

WORKER, MPIRUN = sys.argv[1], sys.argv[2]

ENV = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMPI_MCA_btl="self,vader,tcp",
           OPENBLAS_NUM_THREADS="1",
           # Open MPI keeps memory to the end; that is not ours to judge here.
           ASAN_OPTIONS="detect_leaks=0")

YAML = """\
name: tiny-test
model: {{size: tiny, image: 32, width: 32, heads: 2, ffn: 64, vision_layers: 2, text_layers: 2, fusion_width: 32,
        fusion_heads: 2, fusion_ffn: 64, encoder_layers: 1, decoder_layers: 2, queries: 6, contrast: 16, dropout: 0.1}}
data: {{pretrain: {data}/train_captions.json, task: {data}/train_rec.json, eval: {data}/test_rec.json,
       vocabulary: {data}/vocabulary.txt, holdout: 0.2}}
train: {{batch: 8, seed: 3, clip: 1.0, log_every: 2, checkpoint_every: 4}}
phases:
  warmup: {{steps: 10, warmup_steps: 2}}
  pretrain: {{steps: 10, warmup_steps: 2}}
  task: {{steps: 10, warmup_steps: 2}}
  control: {{steps: 10, warmup_steps: 2}}
  search: {{steps: 30, warmup_steps: 2, schedule: constant}}
  finetune: {{steps: 10, warmup_steps: 2}}
method: {{target: 0.8, every: 2, block_size: 2}}
resources: {{ranks: {ranks}}}
"""


class Case:
    """A temp folder with a data set; jobs are folders in it."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="espalier-run-"))
        atexit.register(shutil.rmtree, self.dir, ignore_errors=True)  # whatever fails before its own removal
        self.data = self.dir / "data"
        subprocess.run([WORKER, "data", "make", "shaperef", "--out", self.data, "--seed", "5", "--size", "32",
                        "--objects", "2-3", "--train", "60", "--val", "0", "--test", "12", "--expressions", "2"],
                       check=True, env=ENV, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def close(self):
        shutil.rmtree(self.dir)

    def job(self, name, ranks=2, overrides=()):
        folder = self.dir / name
        folder.mkdir()
        (folder / "job.yaml").write_text(YAML.format(data=self.data, ranks=ranks))
        (folder / "overrides.json").write_text(json.dumps([{"key": k, "value": str(v)} for k, v in overrides]))
        return folder


def start(folder, ranks=2, prefix=()):
    return subprocess.Popen([*prefix, MPIRUN, "-n", str(ranks), "--oversubscribe", "--bind-to", "none",
                             WORKER, "run", "--job-dir", str(folder)],
                            env=ENV, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            start_new_session=True)


def run(folder, ranks=2, expect=0, prefix=()):
    process = start(folder, ranks, prefix)
    out, _ = process.communicate(timeout=500)
    assert process.returncode == expect, f"exit {process.returncode}, expected {expect}:\n{out[-4000:]}"
    return out


def run_apart(folders, envs, expect=0, timeout=300):
    """Rank i of one job in folders[i], behind the command line envs[i]: what happens where ranks do not see the same."""
    command = [MPIRUN, "--oversubscribe", "--bind-to", "none"]
    for folder, env in zip(folders, envs):
        command += [*(":" if len(command) > 4 else ""), "-n", "1", *env, WORKER, "run", "--job-dir", str(folder)]
    p = subprocess.run(command, env=ENV, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                       timeout=timeout)
    assert p.returncode == expect, f"exit {p.returncode}, expected {expect}:\n{p.stdout[-4000:]}"
    return p.stdout


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def kill_at(folder, pattern, ranks=2):
    """Runs until a log line matches, then SIGKILLs mpirun and every rank. True if the line came before the end."""
    process = start(folder, ranks)
    seen = False
    for line in process.stdout:
        if re.search(pattern, line):
            seen = True
            break
    if seen:
        ranks_of_it = subprocess.run(["pgrep", "-f", "--", f"--job-dir {folder}"], capture_output=True, text=True).stdout.split()
        pids = {str(process.pid), *ranks_of_it}
        for pid in pids:
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                pass
        # A killed process may finish the write that it is in: what it leaves is settled only when it is gone.
        while any(alive(pid) for pid in pids):
            time.sleep(0.01)
    process.stdout.close()
    process.wait()
    return seen


def sha(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def exports(folder):
    return {form: sha(folder / "export" / form / "model.safetensors") for form in ("shared", "expanded")}


def result(folder):
    """result.json without what time and attempt decide."""
    r = json.loads((folder / "result.json").read_text())
    for key in ("seconds_by_phase", "hypernet_share"):
        r.pop(key, None)
    r["job"].pop("attempt")
    for row in r.values():
        if isinstance(row, dict):
            row.pop("images_per_second", None)
    return r


def tensors(path):
    """name -> list of floats, of a safetensors file, with nothing but the standard library."""
    raw = path.read_bytes()
    n, = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8:8 + n])
    out = {}
    for name, t in header.items():
        if name == "__metadata__" or t["dtype"] != "F32":
            continue
        a, b = t["data_offsets"]
        out[name] = struct.unpack(f"<{(b - a) // 4}f", raw[8 + n + a:8 + n + b])
    return out
