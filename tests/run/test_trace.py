"""A job that ends inside the steps it traces leaves the trace all the same: stopped, or killed without a word."""
import json
import os
import signal
import subprocess

from job import Case, kill_at, start

MORE = [("train.trace_steps", 900), ("train.log_every", 1), ("phases.warmup.steps", 400)]


def steps(folder):
    """Steps in the trace, by rank; the file must be whole."""
    events = json.loads((folder / "trace.json").read_text())["traceEvents"]
    return [sum(e["ph"] == "X" and e["name"] == "step" and e["pid"] == rank for e in events) for rank in (0, 1)]


def stop_at(folder, text, sign):
    """SIGTERM or SIGUSR1 to every rank, once the text is in the log."""
    process = start(folder)
    log = ""
    for line in process.stdout:
        log += line
        if text in line:
            for pid in subprocess.run(["pgrep", "-f", f"^[^ ]*espalier-worker run --job-dir {folder}"], capture_output=True,
                                      text=True).stdout.split():
                os.kill(int(pid), sign)
            break
    log += process.stdout.read()
    process.wait()
    return log


case = Case()
try:
    for sign in (signal.SIGTERM, signal.SIGUSR1):
        folder = case.job(f"stopped-{sign.name}", 2, MORE)
        log = stop_at(folder, "warmup 20/", sign)
        assert "stopped on request at warmup step" in log, log
        a, b = steps(folder)
        assert a == b >= 20, (a, b)

    folder = case.job("killed", 2, MORE)
    assert kill_at(folder, "warmup 40/")
    a, b = steps(folder)
    assert a == b and a in (32, 64, 128, 256), (a, b)
finally:
    case.close()
