#!/usr/bin/python3
"""Training steps of the same model in PyTorch: the peer of bench_step, same options, same JSON.

    tests/bench/torch_step.py --size small --batch 8 --threads 2 --load DIR

DIR holds the weights and the batch that `bench_step --save DIR` left, so the first loss must be the same.
"""
import argparse
import ctypes
import json
import os
import resource
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden"))
import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch_mdetr as tm  # noqa: E402

WARM = 2
NUMPY = {"F32": np.float32, "I32": np.int32, "U8": np.uint8}


def read_safetensors(path):
    with open(path, "rb") as f:
        header = json.loads(f.read(int.from_bytes(f.read(8), "little")))
        data = f.read()
    header.pop("__metadata__", None)
    return {name: torch.from_numpy(np.frombuffer(data[slice(*t["data_offsets"])], NUMPY[t["dtype"]])
                                   .reshape(t["shape"]).copy()) for name, t in header.items()}


def read_batch(path, slots):
    raw = read_safetensors(path)
    positive = raw["positive"].float()
    wide = torch.zeros(*positive.shape[:2], slots)
    wide[..., :min(slots - 1, positive.shape[2])] = positive[..., :slots - 1]
    tokens = raw["tokens"].long()
    return dict(image=raw["image"].permute(0, 3, 1, 2).contiguous(), tokens=tokens,
                text_mask=torch.ones_like(tokens, dtype=torch.bool), boxes=raw["boxes"], positive=wide,
                count=torch.full((len(tokens),), positive.shape[1], dtype=torch.long))


def mapped(word):
    with open("/proc/self/maps") as maps:
        return sorted({line.split()[-1] for line in maps if word in line and "/" in line})


def openblas(path):
    """What an OpenBLAS behind this library says of itself; None when there is none behind it."""
    lib = ctypes.CDLL(path)
    if not hasattr(lib, "openblas_get_corename"):
        return None
    lib.openblas_get_corename.restype = lib.openblas_get_config.restype = ctypes.c_char_p
    return dict(kind="openblas", library="OpenBLAS " + lib.openblas_get_config().decode().split()[1],
                kernels=lib.openblas_get_corename().decode())


def blas():
    """What PyTorch multiplies matrices with in this process: {"kind", "library", "kernels"}.

    A mapped libblas decides: where LAPACK comes from OpenBLAS and BLAS from the reference, both are mapped."""
    torch.mm(torch.ones(64, 64), torch.ones(64, 64))
    if mapped("mkl") or (torch.backends.mkl.is_available() and not mapped("/libblas")):
        return dict(kind="mkl", library="MKL", kernels="chosen by MKL")
    for path in mapped("/libblas") or mapped("openblas"):
        found = openblas(path)
        if found or "blis" in path:
            return found or dict(kind="blis", library=path, kernels="unknown")
        return dict(kind="reference", library=path, kernels="none")
    return dict(kind="unknown", library="an unknown library", kernels="unknown")


def describe():
    b = blas()
    text = "PyTorch %s, %s, %s kernels" % (torch.__version__, b["library"], b["kernels"])
    wanted = ("CPU capability", "MKL-DNN")
    text += "".join(", " + line.strip(" -") for line in torch.__config__.show().splitlines()
                    if any(w in line for w in wanted))
    return dict(b, text=text)


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("--size", choices=("tiny", "small", "large"), default="tiny")
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--image", type=int, default=0)
    p.add_argument("--steps", type=int, default=10)
    p.add_argument("--dropout", type=float, default=0.0)
    p.add_argument("--load", help="folder that bench_step --save wrote")
    p.add_argument("--describe", action="store_true", help="print what PyTorch stands on, and end")
    return p.parse_args()


def make_model(o):
    sizes = dict(tiny=tm.TINY, small=tm.SMALL, large=tm.LARGE)
    cfg = dict(sizes[o.size], dropout=o.dropout, vocab=64 if o.size == "tiny" else 1000)
    if o.image:
        cfg["image"] = o.image
    model = tm.Mdetr(cfg)
    del model.warmup  # its heads take part in no step
    model.load_state_dict(read_safetensors(os.path.join(o.load, "weights.safetensors")))
    model.train()
    return model, cfg


def step(model, opt, b):
    """-> (loss, milliseconds of forward, backward, optimiser, all, and all on the CPU)."""
    at, cpu = [time.perf_counter()], time.process_time()
    opt.zero_grad(set_to_none=True)
    outs = model(b["image"], b["tokens"], b["text_mask"])
    loss, _ = tm.losses(outs, b["boxes"], b["positive"], b["count"])
    at.append(time.perf_counter())
    loss.backward()
    at.append(time.perf_counter())
    torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    opt.step()
    at.append(time.perf_counter())
    cpu = time.process_time() - cpu
    return float(loss.detach()), [1e3 * (y - x) for x, y in zip(at, at[1:])] + [1e3 * (at[-1] - at[0]), 1e3 * cpu]


def main():
    o = arguments()
    torch.set_num_threads(o.threads)
    if o.describe:
        print(json.dumps(describe()))
        return
    model, cfg = make_model(o)
    b = read_batch(os.path.join(o.load, "batch.safetensors"), cfg["slots"])
    decay = [p for p in model.parameters() if p.dim() > 1]
    rest = [p for p in model.parameters() if p.dim() <= 1]
    opt = torch.optim.AdamW([dict(params=decay, weight_decay=1e-4), dict(params=rest, weight_decay=0.0)], lr=1e-4)
    done = [step(model, opt, b) for _ in range(WARM + o.steps)]
    f, w, a, s, c = zip(*(ms for _, ms in done[WARM:]))
    print(json.dumps(dict(program="pytorch", size=o.size, batch=o.batch, threads=o.threads, forward_ms=f, backward_ms=w,
                          optimiser_ms=a, step_ms=s, cpu_ms=c, loss=done[0][0], params=sum(x.numel() for x in model.parameters()),
                          peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                          library=describe()["text"])))


if __name__ == "__main__":
    main()
