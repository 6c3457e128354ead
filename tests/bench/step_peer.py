#!/usr/bin/python3
"""One training step of the same model in PyTorch: the peer of bench_step, same options, same JSON.

    tests/bench/step_peer.py --size small --batch 8 --threads 2
"""
import argparse
import json
import os
import resource
import statistics
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden"))
import torch  # noqa: E402
import torch_mdetr as tm  # noqa: E402


def batch(cfg, n, boxes=3):
    g = torch.Generator().manual_seed(1)
    length = min(24, cfg["max_text"])
    box = torch.rand(n, boxes, 4, generator=g) * .4 + .25
    positive = torch.zeros(n, boxes, cfg["slots"])
    for k in range(boxes):
        positive[:, k, 1 + 2 * k:3 + 2 * k] = 1
    return dict(image=torch.randn(n, 3, cfg["image"], cfg["image"], generator=g),
                tokens=torch.randint(4, cfg["vocab"], (n, length), generator=g),
                text_mask=torch.ones(n, length, dtype=torch.bool), boxes=box, positive=positive,
                count=torch.full((n,), boxes, dtype=torch.long))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--size", choices=("tiny", "small"), default="tiny")
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--image", type=int, default=0)
    p.add_argument("--steps", type=int, default=10)
    p.add_argument("--dropout", type=float, default=0.0)
    o = p.parse_args()
    torch.manual_seed(1)
    torch.set_num_threads(o.threads)
    cfg = dict(tm.TINY if o.size == "tiny" else tm.SMALL, dropout=o.dropout)
    cfg["vocab"] = 64 if o.size == "tiny" else 1000
    if o.image:
        cfg["image"] = o.image
    model = tm.Mdetr(cfg)
    del model.warmup
    model.train()
    opt = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=1e-4)
    b, parts = batch(cfg, o.batch), []
    for i in range(2 + o.steps):
        at = [time.perf_counter()]
        opt.zero_grad(set_to_none=True)
        outs = model(b["image"], b["tokens"], b["text_mask"])
        loss, _ = tm.losses(outs, b["boxes"], b["positive"], b["count"])
        at.append(time.perf_counter())
        loss.backward()
        at.append(time.perf_counter())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        opt.step()
        at.append(time.perf_counter())
        if i >= 2:
            parts.append([1e3 * (y - x) for x, y in zip(at, at[1:])] + [1e3 * (at[-1] - at[0])])
    f, w, a, s = (round(statistics.median(x), 2) for x in zip(*parts))
    print(json.dumps(dict(program="pytorch " + torch.__version__, size=o.size, batch=o.batch, threads=o.threads,
                          steps=o.steps, step_ms=s, forward_ms=f, backward_ms=w, optimiser_ms=a,
                          step_min_ms=round(min(x[-1] for x in parts), 2),
                          params=sum(x.numel() for x in model.parameters()),
                          peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)))


if __name__ == "__main__":
    main()
