#!/usr/bin/python3
"""The convolutions of bench_conv in PyTorch: same shapes, same inputs, same JSON; the better of its two memory formats."""
import argparse
import json
import statistics
import time

import numpy as np
import torch

IMAGES, WARM = 4, 2
SHAPES = (("1x1", 1, 1, 56, 256, 64), ("1x1_s2", 1, 2, 56, 256, 512), ("3x3", 3, 1, 28, 128, 128), ("3x3_s2", 3, 2, 56, 128, 128))


def values(shape, seed):
    """Ours lie channels last; -> NCHW."""
    n = int(np.prod(shape))
    x = (np.arange(n, dtype=np.uint64) * 2654435761 + seed) % (1 << 32)
    return torch.from_numpy((x / 4294967296.0 - 0.5).astype(np.float32).reshape(shape)).permute(0, 3, 1, 2)


def measure(shape, memory_format, rounds):
    name, k, stride, side, C, O = shape
    out = (side + 2 * (k // 2) - k) // stride + 1
    x, w, dy = (values(s, seed).contiguous(memory_format=memory_format)
                for s, seed in (((IMAGES, side, side, C), 1), ((O, k, k, C), 2), ((IMAGES, out, out, O), 3)))
    x.requires_grad_()
    w.requires_grad_()
    ms, cpu = [], []
    for i in range(-WARM, rounds):
        x.grad = w.grad = None
        begin, processor = time.perf_counter(), time.process_time()
        y = torch.nn.functional.conv2d(x, w, stride=stride, padding=k // 2)
        y.backward(dy)
        if i >= 0:
            ms.append(1e3 * (time.perf_counter() - begin))
            cpu.append(1e3 * (time.process_time() - processor))
    sums = [float((t.detach().double() ** 2).sum()) for t in (y, x.grad, w.grad)]
    return dict(name=name, sums=sums, ms=ms, cpu_ms=cpu, format=str(memory_format).split(".")[-1])


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--rounds", type=int, default=10)
    o = p.parse_args()
    torch.set_num_threads(o.threads)
    for shape in SHAPES:
        runs = [measure(shape, f, o.rounds) for f in (torch.contiguous_format, torch.channels_last)]
        print(json.dumps(min(runs, key=lambda r: statistics.median(r["cpu_ms"]))))


if __name__ == "__main__":
    main()
