#!/usr/bin/python3
"""sbatch, squeue, scontrol, sacct, scancel, sinfo and srun as far as espalierd uses them, and as badly as a test wants.

What it is called says what it does. FAKE_SLURM is a folder: job-N.json is a job, `faults` a JSON object:

  squeue    "empty" | "down" | "hang"     lists nothing, although there are jobs | no controller | never answers
  sbatch    "lost" | "down" | "busy" | "refuse" | "few" | "dependency"
                                          taken, but the answer is a time-out | ... | no --exclude | no --dependency
  sinfo     what it prints: names of nodes that are down
  nodes     what a job that starts gets, n1 unless set
  scontrol  "down" | "forgot"             no controller | it knows no job
  sacct     "absent" | "knows"            the site has none (the default) | it tells
  jobcomp   "absent" | "knows"            the same; absent is the default
  scancel   "down"
  pending   true                          jobs wait until it is taken out

`slurm.py end ID STATE` ends a job like the cluster would, with SIGTERM and 1 s later SIGKILL; with "silent" behind it, by
SIGKILL at once, so that nothing is left behind by the job itself.
"""
import fcntl
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

DIR = pathlib.Path(os.environ["FAKE_SLURM"])
ME = os.path.basename(sys.argv[0])
SELF = os.path.join(os.path.dirname(os.path.abspath(__file__)), "slurm.py")


def faults():
    try:
        return json.loads((DIR / "faults").read_text())
    except FileNotFoundError:
        return {}


def fail(text, code=1):
    print(text, file=sys.stderr)
    sys.exit(code)


def down(who, verb=""):
    fail("%s: error: %sUnable to contact slurm controller (connect failure)" % (who, verb))


def load(id):
    for _ in range(100):
        try:
            return json.loads((DIR / ("job-%s.json" % id)).read_text())
        except FileNotFoundError:
            return None
        except ValueError:
            time.sleep(0.01)


def save(job):
    temp = DIR / ("job-%d.json.%d" % (job["id"], os.getpid()))
    temp.write_text(json.dumps(job))
    temp.rename(DIR / ("job-%d.json" % job["id"]))


def update(id, change):
    """Under a lock: the runner and the others write the same file."""
    with open(DIR / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        job = load(id)
        change(job)
        save(job)
        return job


def jobs():
    return [load(p.stem[4:]) for p in sorted(DIR.glob("job-*.json"))]


def over(job):
    return job["state"] not in ("PENDING", "RUNNING")


# ---- what happens to a job ----------------------------------------------------------------------


def run(id):
    """The life of a job, in a process of its own."""
    for _ in range(200):
        if (DIR / ("job-%d.json" % id)).exists():
            break
        time.sleep(0.05)
    while faults().get("pending"):
        if over(load(id)):
            return
        time.sleep(0.05)
    job = load(id)
    if over(job):
        return
    out = open(job["output"], "ab")
    env = dict(os.environ, SLURM_JOB_ID=str(id), SLURM_JOB_NAME=job["name"])
    child = subprocess.Popen(["/bin/sh", job["script"]], stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env,
                             cwd=job["chdir"], start_new_session=True)
    update(id, lambda j: j.update(state="RUNNING", nodes=faults().get("nodes", "n1"), pid=child.pid))
    code = child.wait()

    def end(j):
        if not over(j):
            j["state"] = "COMPLETED" if code == 0 else "FAILED"
        j["exit"] = "%d:0" % code if code >= 0 else "0:%d" % -code
    update(id, end)


def kill(job, sig):
    try:
        os.killpg(job["pid"], sig)
    except (KeyError, ProcessLookupError):
        pass


def end(id, state, silent=False):
    job = update(id, lambda j: None if over(j) else j.update(state=state))
    if not silent:
        kill(job, signal.SIGTERM)
        for _ in range(20):
            time.sleep(0.05)
            if "exit" in load(id):
                return
    kill(job, signal.SIGKILL)


# ---- the commands -------------------------------------------------------------------------------


def sbatch(argv):
    fault = faults().get("sbatch")
    if fault == "down":
        down("sbatch", "Batch job submission failed: ")
    if fault == "busy":
        fail("sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: Job violates "
             "accounting/QOS policy (job submit limit, user's size and/or time limits)")
    if fault == "refuse":
        fail("sbatch: error: invalid partition specified: x\nsbatch: error: Batch job submission failed: Invalid "
             "partition name specified")
    script = argv[-1]
    text = pathlib.Path(script).read_text()
    option = dict(re.findall(r'^#SBATCH --([a-z-]+)="?([^"\n]*)"?$', text, re.M))
    if fault == "dependency" and "dependency" in option:
        fail("sbatch: error: Batch job submission failed: Job dependency problem")
    if fault == "few" and "n2" in option.get("exclude", ""):
        fail("sbatch: error: Batch job submission failed: Requested node configuration is not available")
    assert "--parsable" in argv and "\n#SBATCH --no-requeue\n" in text, text
    with open(DIR / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        id = len(list(DIR.glob("job-*.json"))) + 1
        # First, so that a job that is there has somebody who runs it even if this process is killed here.
        subprocess.Popen([sys.executable, SELF, "run", str(id)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL, start_new_session=True)
        save({"id": id, "state": "PENDING", "name": option["job-name"], "script": script, "chdir": option["chdir"],
              "output": option["output"], "partition": option.get("partition", "main"), "nodes": ""})
    if fault == "lost":
        fail("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation")
    print(id)


def squeue(argv):
    fault = faults().get("squeue")
    with open(DIR / "squeue-calls", "a") as f:
        f.write("x")
    if fault == "hang":
        time.sleep(3600)
    if fault == "down":
        down("slurm_load_jobs")
    assert "--format=%A|%T|%r|%P|%N|%j" in argv and "--states=all" in argv, argv
    for job in [] if fault == "empty" else jobs():
        if not job.get("forgotten"):
            print("%d|%s|%s|%s|%s|%s" % (job["id"], job["state"], "Resources" if job["state"] == "PENDING" else "None",
                                         job["partition"], job["nodes"], job["name"]))


def scontrol(argv):
    fault = faults().get("scontrol")
    if fault == "down":
        down("slurm_load_jobs")
    if argv[0] == "update":
        update(int(argv[1].split("=")[1]), lambda j: j.update(nice=int(argv[2].split("=")[1])))
        return
    job = load(argv[-1])
    if fault == "forgot" or not job or job.get("forgotten"):
        fail("slurm_load_jobs error: Invalid job id specified")
    print("JobId=%d JobName=%s JobState=%s Reason=None ExitCode=%s Partition=%s NodeList=%s Comment=JobState=X" % (
        job["id"], job["name"], job["state"], job.get("exit", "0:0"), job["partition"], job["nodes"] or "(null)"))


def sacct(argv):
    source = "jobcomp" if "--completion" in argv else "sacct"
    if faults().get(source) != "knows":
        fail("Slurm accounting storage is disabled" if source == "sacct" else "sacct: error: no jobcomp plugin")
    id, = [a.split("=")[1] for a in argv if a.startswith("--jobs=")]
    job = load(id)
    if job and source == "sacct":
        print("%d|%s|%s|%s|%s|%s" % (job["id"], job["state"], job.get("exit", "0:0"), job["partition"], job["nodes"],
                                     job["name"]))
    elif job:
        print("%d|%s|%s|%s|%s" % (job["id"], job["state"], job["partition"], job["nodes"], job["name"]))


def scancel(argv):
    if faults().get("scancel") == "down":
        down("scancel")
    job = load(argv[-1])
    if not job or over(job):
        fail("scancel: error: Kill job error on job id %s: Job/step already completing or completed" % argv[-1])
    sig = [a.split("=")[1] for a in argv if a.startswith("--signal=")]
    if sig:
        try:
            os.kill(job["pid"], getattr(signal, "SIG" + sig[0]))  # --batch: the shell alone, which the launcher is
        except ProcessLookupError:
            pass
    else:
        subprocess.Popen([sys.executable, SELF, "end", str(job["id"]), "CANCELLED"], stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def sinfo(argv):
    assert "--states=down,drain,fail" in argv and "--format=%N" in argv, argv
    print(faults().get("sinfo", ""), end="")


def srun(argv):
    if "--mpi=list" in argv:
        print("MPI plugin types are...\n\tnone\n\tpmi2", file=sys.stderr)


if ME == "slurm.py":
    what, *rest = sys.argv[1:]
    if what == "run":
        run(int(rest[0]))
    else:
        end(int(rest[0]), rest[1], "silent" in rest)
else:
    {"sbatch": sbatch, "squeue": squeue, "scontrol": scontrol, "sacct": sacct, "scancel": scancel, "sinfo": sinfo,
     "srun": srun}[ME](sys.argv[1:])
