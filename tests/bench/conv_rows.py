"""Convolutions of a ResNet against PyTorch's, one thread: the processor's time, so that a busy machine hardly shows."""
import json
import os

import machine
from rows import median, row, span

NAMES = ("1x1", "1x1_s2", "3x3", "3x3_s2")
SAME = 1e-3  # relative, of sums of squares


def rounds(argv):
    return {r["name"]: r for r in map(json.loads, machine.output(argv).splitlines())}


def conv(o):
    """Forward and backward of convolutions, 4 pictures, 1 thread: 1x1 and 3x3, stride 1 and 2."""
    ours, peer = [], []
    for _ in range(o.repeat):
        ours.append(rounds([os.path.join(o.programs, "bench_conv")]))
        peer.append(rounds([o.peer_python, os.path.join(machine.HERE, "torch_conv.py")]))
    rows = []
    for name in NAMES:
        for a, b in zip(ours[0][name]["sums"], peer[0][name]["sums"]):
            if not abs(a - b) <= SAME * abs(b):
                raise machine.Refused("conv_%s: a sum of squares is %g here and %g in PyTorch" % (name, a, b))
        mine, other = ([ms for r in runs for ms in r[name]["cpu_ms"]] for runs in (ours, peer))
        rows.append(row("conv_" + name, median(mine), "ms", "lower", median(other), "PyTorch, " + peer[0][name]["format"], span(mine),
                        gflop_s=1e3 * ours[0][name]["gflop"] / median(mine)))
    return rows
