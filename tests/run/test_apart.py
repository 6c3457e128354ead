"""Ranks that do not see the same: cores, kernels, numbers or files. They stay in step, or are refused with a sentence."""
import os
import platform
import shutil

from job import Case, exports, kill_at, run, run_apart

SEARCH = [(f"phases.{s}.steps", 0) for s in ("warmup", "pretrain", "task", "control")] + [("phases.finetune.steps", 4)]
ONE_STEP = [(f"phases.{s}.steps", 0) for s in ("warmup", "pretrain", "control", "search", "finetune")] + [("phases.task.steps", 1)]
CPUS = sorted(os.sched_getaffinity(0))

case = Case()


def pair(name, overrides, second=()):
    """The folder of rank 0, and that of rank 1 with its own overrides."""
    return [case.job(f"{name}-0", 2, overrides), case.job(f"{name}-1", 2, overrides + list(second))]


try:
    # Ranks whose numbers differ (here by far: other weights, other draws) take rank 0's decisions: one structure, one layout.
    folders = pair("numbers", SEARCH, [("train.seed", 4)])
    run_apart(folders, [[], []], timeout=120)
    assert (folders[0] / "result.json").exists()

    # One rank is left with one core: no rank runs two threads.
    if len(CPUS) > 1:
        masks = [["taskset", "-c", f"{CPUS[0]},{CPUS[1]}"], ["taskset", "-c", str(CPUS[-1])]]
        log = run_apart(pair("cores", ONE_STEP + [("resources.threads", 2)]), masks)
        crossed = "2 ranks share 2 cores here: it is 1 thread"
        fewest = "rank 1 has cores for no more than 1 thread: this rank runs as many instead of 2"
        assert (fewest if len(CPUS) > 2 else crossed) in log, log
        assert log.count(": 1 thread, ") == 2, log
    else:
        print("skipped: differing masks need two cores")

    # A job of the coordinator whose ranks do not find each other: each alone would write over the others' files. By hand another
    # number is fine, also one that does not divide the batch.
    folder = case.job("alone", 2, ONE_STEP)
    run(folder, 3)
    (folder / "attempt.json").write_text('{"job_id": "7", "attempt": 2}')
    log = run(folder, 1, expect=2)
    assert "MPI has 1 rank here, the job 2 (resources.ranks)" in log and "slurm.mpi" in log, log

    # Kernels that round differently.
    if platform.machine() == "x86_64":
        kernels = [["env", "OPENBLAS_CORETYPE=Nehalem"], ["env", "OPENBLAS_CORETYPE=Haswell"]]
        log = run_apart(pair("kernels", ONE_STEP), kernels, expect=15)
        assert "rank 1: its kernels are cpu OpenBLAS" in log and "slurm.constraint" in log, log
        assert "Haswell" in log and "Nehalem" in log, log
    else:
        print("skipped: the names of BLAS's kernels are of x86")

    # A checkpoint that one rank cannot read is passed over by all, and nothing of it stays on those that could: whether an older
    # one serves, or none does.
    short = ONE_STEP[:-1] + [("phases.task.steps", 10), ("train.checkpoint_every", 2)]
    whole = case.job("whole", 2, short)
    run(whole)
    stopped = case.job("stopped", 2, short)
    assert kill_at(stopped, "task 6/10")
    for name, damaged in (("newest", slice(-1, None)), ("all", slice(None))):
        folders = [case.dir / f"{name}-{i}" for i in (0, 1)]
        for folder in folders:
            shutil.copytree(stopped, folder)
        files = sorted((folders[0] / "checkpoints").glob("step-*.safetensors"))
        for file in files[damaged]:
            file.write_bytes(file.read_bytes()[:-100])
        log = run_apart(folders, [[], []], timeout=120)
        assert log.count("checkpoint passed over: ") == len(files[damaged]) and len(files) > 1, log
        assert ("resumed from" in log) == (name == "newest"), log
        assert exports(folders[0]) == exports(whole), name
finally:
    case.close()
print("ranks that differ stay in step or are refused")
