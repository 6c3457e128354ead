#!/usr/bin/python3
"""Makes tests/golden/ops.golden: inputs, outputs and gradients of single operators, computed by PyTorch.

    tests/golden/ops.py          writes ops.golden beside itself

Made with torch 1.13.1, numpy 1.24.2 (Debian 12), seed below, in float64 from inputs that are exact in float32; stored as
float32. For a case "op" the file holds op/<input>, op/y, op/g (what backward starts from: the gradient of sum(y g)) and
op/d<input> of every input that has one. Format: see mdetr.py.
"""
import os

import numpy as np
import torch
import torch.nn.functional as F

SEED = 20240611
rng = np.random.default_rng(SEED)


def normal(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def layernorm(t):
    return F.layer_norm(t["x"], (t["x"].shape[-1],), t["w"], t["b"], 1e-5)


def gelu(t):
    return F.gelu(t["x"])


def mha(t):
    heads = 3
    c = t["x"].shape[-1]
    m = torch.nn.MultiheadAttention(c, heads, batch_first=True).double()
    weight = torch.cat([t["wq"], t["wk"], t["wv"]])
    bias = torch.cat([t["bq"], t["bk"], t["bv"]])
    padded = t["mask"] == 0
    y, _ = F.multi_head_attention_forward(
        t["x"].transpose(0, 1), t["memory"].transpose(0, 1), t["memory"].transpose(0, 1), c, heads, weight, bias,
        m.bias_k, m.bias_v, False, 0.0, t["wo"], t["bo"], training=True, key_padding_mask=padded, need_weights=False)
    return y.transpose(0, 1)


def gru_cell(t):
    cell = torch.nn.GRUCell(t["x"].shape[0], t["h"].shape[0]).double()
    for name, p in list(cell.named_parameters()):
        delattr(cell, name)
        ours = {"weight_ih": "w_ih", "weight_hh": "w_hh", "bias_ih": "b_ih", "bias_hh": "b_hh"}[name]
        setattr(cell, name, t[ours])
    return cell(t["x"][None], t["h"][None])[0]


def conv(t):
    """3x3, stride 2, padding 1; our weight is [out, (ky,kx,c)], images are channels last."""
    out, c = t["w"].shape[0], t["x"].shape[-1]
    weight = t["w"].reshape(out, 3, 3, c).permute(0, 3, 1, 2)
    return F.conv2d(t["x"].permute(0, 3, 1, 2), weight, t["b"], stride=2, padding=1).permute(0, 2, 3, 1)


def image_conv(stride, padding, dilation):
    """Any convolution; our weight is [out, (ky,kx,c)], images are channels last."""
    def run(t):
        out, c = t["w"].shape[0], t["x"].shape[-1]
        k = round((t["w"].shape[1] // c) ** .5)
        weight = t["w"].reshape(out, k, k, c).permute(0, 3, 1, 2)
        return F.conv2d(t["x"].permute(0, 3, 1, 2), weight, t.get("b"), stride, padding, dilation).permute(0, 2, 3, 1)
    return run


def named(name, fn):
    fn.__name__ = name
    return fn


def max_pool(t):
    return F.max_pool2d(t["x"].permute(0, 3, 1, 2), 3, 2, 1).permute(0, 2, 3, 1)


def upsample(mode, size):
    def run(t):
        how = {} if mode == "nearest" else {"align_corners": False}
        return F.interpolate(t["x"].permute(0, 3, 1, 2), size, mode=mode, **how).permute(0, 2, 3, 1)
    return run


def frozen_norm(t):
    """As MDETR's FrozenBatchNorm2d, and the ReLU behind it."""
    scale = t["w"] * (t["var"] + 1e-5).rsqrt()
    return F.relu(t["x"] * scale + (t["b"] - t["mean"] * scale))


def group_norm(t):
    return F.group_norm(t["x"].permute(0, 3, 1, 2), 4, t["w"], t["b"], 1e-5).permute(0, 2, 3, 1)


def corners(b):
    return torch.cat([b[:, :2] - b[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2], 1)


def giou(t):
    a, b = corners(t["x"]), corners(t["target"])
    inter = (torch.min(a[:, 2:], b[:, 2:]) - torch.max(a[:, :2], b[:, :2])).clamp(min=0).prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - inter
    hull = (torch.max(a[:, 2:], b[:, 2:]) - torch.min(a[:, :2], b[:, :2])).prod(1)
    return (1 - (inter / union - (hull - union) / hull)).sum()


def cross_entropy(t):
    return (-(t["target"] * F.log_softmax(t["x"], -1)).sum(-1) * t["weight"]).sum()


def l2norm(t):
    return F.normalize(t["x"], dim=-1, eps=1e-12)


def align(t):
    """MDETR's contrastive alignment loss, both directions, halved."""
    z, pos = t["z"], t["pos"] != 0

    def one_way(dim):
        count = pos.sum(dim)
        hit = -(z.masked_fill(~pos, 0).sum(dim)) / (count + 1e-6) + torch.logsumexp(z, dim)
        return hit.masked_fill(count == 0, 0).sum()
    return (one_way(2) + one_way(1)) / 2


def boxes(n):
    return np.concatenate([rng.uniform(.3, .7, (n, 2)), rng.uniform(.1, .6, (n, 2))], 1).astype(np.float32)


C, B, TQ, TK = 12, 2, 5, 7
MASK = np.ones((B, TK), np.uint8)
MASK[1, 4:] = 0
GRU_I, GRU_D = 6, 5
CASES = [
    (layernorm, dict(x=normal(3, 4, 9), w=normal(9), b=normal(9)), {}),
    (gelu, dict(x=3 * normal(4, 11)), {}),
    (mha, dict(x=normal(B, TQ, C), memory=normal(B, TK, C), wq=.3 * normal(C, C), wk=.3 * normal(C, C),
               wv=.3 * normal(C, C), wo=.3 * normal(C, C), bq=normal(C), bk=normal(C), bv=normal(C), bo=normal(C)), dict(mask=MASK)),
    (gru_cell, dict(x=normal(GRU_I), h=normal(GRU_D), w_ih=normal(3 * GRU_D, GRU_I), w_hh=normal(3 * GRU_D, GRU_D),
                    b_ih=normal(3 * GRU_D), b_hh=normal(3 * GRU_D)), {}),
    (conv, dict(x=normal(2, 9, 8, 3), w=normal(5, 27), b=normal(5)), {}),
    (giou, dict(x=boxes(9)), dict(target=boxes(9))),
    (cross_entropy, dict(x=2 * normal(6, 10)),
     dict(target=(rng.uniform(0, 1, (6, 10)) < .3).astype(np.float32), weight=rng.uniform(0, 1, 6).astype(np.float32))),
    (l2norm, dict(x=normal(5, 8)), {}),
    (align, dict(z=3 * normal(2, 4, 6)), dict(pos=(rng.uniform(0, 1, (2, 4, 6)) < .2).astype(np.uint8))),
    (named("conv_stem", image_conv(2, 3, 1)), dict(x=normal(1, 11, 9, 3), w=.3 * normal(4, 147)), {}),
    (named("conv_strided", image_conv(2, 1, 1)), dict(x=normal(2, 7, 8, 5), w=.3 * normal(6, 45), b=normal(6)), {}),
    (named("conv_dilated", image_conv(1, 2, 2)), dict(x=normal(1, 6, 7, 4), w=.3 * normal(5, 36)), {}),
    (named("conv_point", image_conv(1, 0, 1)), dict(x=normal(2, 3, 4, 7), w=.3 * normal(5, 7), b=normal(5)), {}),
    (named("conv_point_strided", image_conv(2, 0, 1)), dict(x=normal(1, 5, 6, 7), w=.3 * normal(5, 7)), {}),
    (max_pool, dict(x=normal(2, 7, 6, 3)), {}),
    (named("upsample_nearest", upsample("nearest", (7, 6))), dict(x=normal(1, 3, 4, 3)), {}),
    (named("upsample_bilinear", upsample("bilinear", (7, 3))), dict(x=normal(2, 4, 5, 3)), {}),
    (frozen_norm, dict(x=normal(2, 3, 4, 6)), dict(w=normal(6), b=normal(6), mean=normal(6),
                                                   var=rng.uniform(.1, 2, 6).astype(np.float32))),
    (group_norm, dict(x=normal(2, 3, 4, 8), w=normal(8), b=normal(8)), {}),
]


def put(f, name, a):
    a = np.asarray(a)
    a = np.ascontiguousarray(a, np.uint8 if a.dtype == np.uint8 else np.float32).reshape(a.shape)
    kind = "u1" if a.dtype == np.uint8 else "f4"
    f.write(" ".join([name, kind, str(a.ndim)] + [str(d) for d in a.shape]).encode() + b"\n" + a.tobytes())


with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "ops.golden"), "wb") as f:
    f.write(b"golden 1\n")
    for fn, inputs, constants in CASES:
        t = {k: torch.from_numpy(v).double().requires_grad_() for k, v in inputs.items()}
        t.update({k: torch.from_numpy(v).double() for k, v in constants.items()})
        y = fn(t)
        g = torch.from_numpy(normal(*y.shape)).double() if y.shape else torch.ones((), dtype=torch.float64)
        y.backward(g)
        for k, v in {**inputs, **constants}.items():
            put(f, f"{fn.__name__}/{k}", v)
        put(f, f"{fn.__name__}/y", y.detach().numpy())
        put(f, f"{fn.__name__}/g", g.numpy())
        for k in inputs:
            put(f, f"{fn.__name__}/d{k}", t[k].grad.numpy())
