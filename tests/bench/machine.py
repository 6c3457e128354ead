"""Where a benchmark runs: the environment that both sides get, and what is recorded about the machine."""
import json
import os
import platform
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

# Variables that choose kernels or threads behind the back of a comparison.
CLEARED = ("OPENBLAS_", "GOTO_", "BLIS_", "MKL_", "OMP_", "KMP_", "GOMP_", "DNNL_", "ONEDNN_", "NVPL_")


PATIENCE = 900  # seconds for one program


class Refused(Exception):
    """The benchmark cannot be run here; the text says what to do."""


def environment():
    env = {k: v for k, v in os.environ.items() if not k.startswith(CLEARED) and not k.startswith("ESPALIER_")}
    # Threads that spin while they wait take the core from the next side.
    env.update(OMP_WAIT_POLICY="PASSIVE", OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
               OMPI_MCA_btl="self,vader,tcp", OMPI_MCA_mpi_yield_when_idle="0", LC_ALL="C")
    return env


def output(argv):
    """stdout of a program; its last words when it fails."""
    try:
        done = subprocess.run(argv, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise Refused("%s took more than %d seconds" % (" ".join(map(str, argv)), PATIENCE)) from None
    except OSError as fault:
        raise Refused("%s cannot be run: %s" % (argv[0], fault.strerror)) from None
    if done.returncode:
        raise Refused("%s ended with %d: %s" % (" ".join(map(str, argv)), done.returncode, done.stderr.strip()[-800:]))
    return done.stdout


def cpu_name():
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def has(flag):
    """Whether the processor names this flag (x86)."""
    with open("/proc/cpuinfo") as f:
        return any(line.startswith("flags") and flag in line.split() for line in f)


def memory_bytes():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def commit():
    """The source that was measured; "" outside a git checkout."""
    try:
        return subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=ROOT, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.strip()
    except FileNotFoundError:
        return ""


def describe():
    return dict(cpu=cpu_name(), cores=len(os.sched_getaffinity(0)), memory_bytes=memory_bytes(),
                kernel=platform.release(), commit=commit(), started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                load_average=os.getloadavg()[0])


def torch_blas(python):
    """What the peer multiplies with; refuses a peer that would lose to anybody."""
    try:
        said = json.loads(output([python, os.path.join(HERE, "torch_step.py"), "--describe"]))
    except Refused as fault:
        raise Refused("%s cannot run the PyTorch peer: %s\nIt needs torch, scipy and numpy; Debian's:  apt-get install "
                      "python3-torch python3-scipy python3-numpy" % (python, str(fault).splitlines()[-1])) from None
    if said["kind"] in ("reference", "unknown"):
        raise Refused("PyTorch of %s multiplies matrices with %s, which is no fair peer.\nInstall a fast BLAS and choose it: "
                      " apt-get install libopenblas0-pthread;  update-alternatives --config libblas.so.3-x86_64-linux-gnu"
                      % (python, said["library"]))
    return said


def note(text):
    print(text, file=sys.stderr, flush=True)
