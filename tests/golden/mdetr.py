#!/usr/bin/python3
"""Makes the golden files of tests/golden: losses, predictions and gradients of a micro MDETR, computed by PyTorch.

    tests/golden/mdetr.py        writes mdetr_conv.golden and mdetr_patch.golden beside itself

Made with torch 1.13.1, numpy 1.24.2, scipy 1.10.1 (Debian 12), seed below, in float64; weights, inputs and gradients are
then stored as float32. Format: a line "golden 1", then for every array a line "name type dims d0 d1 ..." and its
bytes, little-endian, row-major; type f4, i4 or u1.
"""
import os
import sys

import numpy as np
import torch

sys.dont_write_bytecode = True
import torch_mdetr as tm  # noqa: E402

SEED = 20240607
PAD = 1  # its id in the vocabulary: the word of a patch without an object
DENSE = 0.7  # weight of the dense auxiliary losses
MICRO = dict(image=32, patch=8, stem="conv", channels=16, heads=2, ffn=24, vision_layers=2, text_layers=2, fusion=16,
             fusion_heads=2, fusion_ffn=24, encoder_layers=1, decoder_layers=2, queries=5, slots=12, max_text=12,
             contrast=8, vocab=20, dropout=0.0)


def shaken(cfg):
    """A model away from its initial values, where every bias and norm matters; values exact in float32."""
    model = tm.Mdetr(cfg)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.15 * torch.randn_like(p)).copy_(p.float().double())
    return model.eval()


def case(cfg, valid, lengths, boxes, rng):
    """Random inputs: valid (height, width) and caption length and number of boxes of each sample."""
    side, length, slots, n = cfg["image"], max(lengths), cfg["slots"], len(valid)
    image = np.zeros((n, side, side, 3), np.float32)
    mask = np.zeros((n, side, side), bool)
    token = np.zeros((n, length), np.int32)
    token_mask = np.zeros((n, length), np.uint8)
    box, positive = [], []
    for b, ((h, w), words, count) in enumerate(zip(valid, lengths, boxes)):
        image[b, :h, :w] = rng.standard_normal((h, w, 3))
        mask[b, :h, :w] = True
        token[b, :words] = rng.integers(2, cfg["vocab"], words)
        token_mask[b, :words] = 1
        for _ in range(count):
            box.append(np.r_[rng.uniform(.3, .7, 2), rng.uniform(.1, .5, 2)])
            first = rng.integers(1, words - 1)
            span = np.zeros(length, np.uint8)
            span[first:first + rng.integers(1, 4)] = 1
            span[words - 1:] = 0
            positive.append(span)
    return dict(valid=np.array(valid, np.int32), image=image, image_mask=mask, token=token, token_mask=token_mask,
                box=np.array(box, np.float32).reshape(-1, 4), positive=np.array(positive, np.uint8).reshape(-1, length),
                boxes=np.array(boxes, np.int32), slots=slots)


def tensors(c):
    """The arrays of a case as the model's padded arguments."""
    n, most, length = len(c["boxes"]), max(1, c["boxes"].max()), c["token"].shape[1]
    box, positive = torch.full((n, most, 4), .5), torch.zeros(n, most, c["slots"])
    at = 0
    for b, k in enumerate(c["boxes"]):
        box[b, :k] = torch.tensor(c["box"][at:at + k])
        positive[b, :k, :length] = torch.tensor(c["positive"][at:at + k])
        at += k
    image = torch.tensor(c["image"]).double().permute(0, 3, 1, 2)
    return dict(image=image, image_mask=torch.tensor(c["image_mask"]), tokens=torch.tensor(c["token"]).long(),
                text_mask=torch.tensor(c["token_mask"]).bool(), boxes=box, positive=positive,
                count=torch.tensor(c["boxes"]).long())


def query_cosine(hs):
    q = hs.shape[1]
    u = hs / hs.norm(dim=-1, keepdim=True)
    return float(((u @ u.transpose(1, 2)).sum((1, 2)) - q).div(q * (q - 1)).mean())


def grads(model, loss):
    model.zero_grad()
    loss.backward()
    return {k: p.grad.clone() for k, p in model.named_parameters() if p.grad is not None}


def grounding(model, c):
    t = tensors(c)
    outs = model(t["image"], t["tokens"], t["text_mask"], t["image_mask"])
    total, terms = tm.losses(outs, t["boxes"], t["positive"], t["count"])
    last = outs[-1]
    result = {"loss": [float(total), *(float(terms[k]) for k in ("ce", "bbox", "giou", "contrast")),
                       query_cosine(last["hs"].detach())],
              "score": 1 - last["logits"].detach().softmax(-1)[..., -1], "predicted": last["boxes"].detach()}
    return result, grads(model, total)


def patch_box(cfg, c, b, i):
    """The box that patch i of sample b shows (section 6), None, or "pad" beyond the real image."""
    side, p, (h, w) = cfg["image"] // cfg["patch"], cfg["patch"], c["valid"][b]
    row, col = i // side, i % side
    if row * p >= h or col * p >= w:
        return "pad"
    y, x, box = (row + .5) * p / h, (col + .5) * p / w, c["box"]
    holds = [g for g in boxes_of(c, b) if c["positive"][g].any()
             and abs(x - box[g, 0]) <= box[g, 2] / 2 and abs(y - box[g, 1]) <= box[g, 3] / 2]
    return min(holds, key=lambda g: box[g, 2] * box[g, 3]) if holds else None


def token_box(c, b, i):
    if not c["token_mask"][b, i]:
        return "pad"
    return next((g for g in boxes_of(c, b) if c["positive"][g, i]), None)


def boxes_of(c, b):
    start = int(c["boxes"][:b].sum())
    return range(start, start + c["boxes"][b])


def row_targets(c, which, nothing):
    """Section 5a: (target, weight) from which[b][i], the box of row i, None, or "pad"."""
    n, rows, slots = len(which), len(which[0]), c["slots"]
    target, weight = np.zeros((n, rows, slots)), np.zeros((n, rows))
    for b in range(n):
        for i, g in enumerate(which[b]):
            same = sum(k == g for k in which[b])
            if g is None:
                target[b, i, slots - 1] = 1
                weight[b, i] = nothing * c["boxes"][b] / same
            elif g != "pad":
                tokens = np.flatnonzero(c["positive"][g][:slots - 1])
                target[b, i, tokens] = 1 / len(tokens)
                weight[b, i] = 1 / same
    return torch.tensor(target), torch.tensor(weight)


def rows_of(cfg, c):
    """Which box every patch and every token names."""
    n, patches = len(c["boxes"]), (cfg["image"] // cfg["patch"]) ** 2
    return ([[patch_box(cfg, c, b, i) for i in range(patches)] for b in range(n)],
            [[token_box(c, b, i) for i in range(c["token"].shape[1])] for b in range(n)])


def patch_targets(cfg, c, which):
    """Words [B,N,V], boxes [B,N,4] and likeness [B,N,L] of the patches."""
    words = np.zeros((len(which), len(which[0]), cfg["vocab"]))
    likeness = np.zeros((len(which), len(which[0]), c["token"].shape[1]))
    box = np.full((len(which), len(which[0]), 4), np.nan)
    for b, row in enumerate(which):
        for i, g in enumerate(row):
            if g is None:
                words[b, i, PAD] = 1
            elif g != "pad":
                box[b, i] = c["box"][g]
                likeness[b, i] = c["positive"][g]
                phrase = c["token"][b][c["positive"][g] > 0]
                for word in phrase:
                    words[b, i, word] += 1 / len(phrase)
    return torch.tensor(words), torch.tensor(box), torch.tensor(likeness)


def dense(model, cfg, c):
    t = tensors(c)
    outs = model(t["image"], t["tokens"], t["text_mask"], t["image_mask"])
    patch, token = rows_of(cfg, c)
    extra = tm.dense_loss(model, outs[-1]["memory"], row_targets(c, patch, 1), row_targets(c, token, .5),
                          patch_targets(cfg, c, patch)[1], int(c["boxes"].sum()))
    total = tm.losses(outs, t["boxes"], t["positive"], t["count"])[0] + DENSE * extra
    return {"loss": [float(total), float(extra)]}, grads(model, total)


def warmup(model, cfg, c):
    t = tensors(c)
    patch, token = rows_of(cfg, c)
    loss, terms = tm.warmup_loss(model, t["image"], *patch_targets(cfg, c, patch), t["tokens"], t["text_mask"],
                                 row_targets(c, token, .5), int(c["boxes"].sum()), t["image_mask"])
    return {"loss": [float(loss), *(float(v) for v in terms.values())]}, grads(model, loss)


def put(out, name, array):
    array = np.ascontiguousarray(array)
    kind = {"f": "f4", "i": "i4", "u": "u1"}[array.dtype.kind]
    array = array.astype("<" + kind)
    out.write(f"{name} {kind} {array.ndim} {' '.join(map(str, array.shape))}\n".encode())
    out.write(array.tobytes())


def put_case(out, name, c, answers):
    for key in ("valid", "image", "token", "token_mask", "boxes", "box", "positive"):
        put(out, f"{name}/{key}", c[key])
    for kind, (result, gradient) in answers.items():
        for key, value in result.items():
            put(out, f"{name}/{kind}/{key}", np.asarray(value))
        for key, value in gradient.items():
            put(out, f"{name}/{kind}/grad/{key}", value.numpy())


SHAPE = ("image patch channels heads ffn vision_layers text_layers fusion fusion_heads fusion_ffn encoder_layers "
         "decoder_layers queries slots max_text contrast").split()


def write(path, cfg, cases, rng):
    model = shaken(cfg)
    with open(path, "wb") as out:
        out.write(b"golden 1\n")
        put(out, "shape", np.array([*(cfg[k] for k in SHAPE), cfg["stem"] == "patch", cfg["vocab"]], np.int32))
        for key, p in model.named_parameters():
            put(out, f"weight/{key}", p.detach().numpy())
        for name, args in cases.items():
            c = case(cfg, *args, rng)
            answers = {"grounding": grounding(model, c)}
            if name == "padded":
                answers["warmup"] = warmup(model, cfg, c)
            if name == "padded" and cfg["stem"] == "conv":
                answers["dense"] = dense(model, cfg, c)
            put_case(out, name, c, answers)


def main():
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    here = os.path.dirname(os.path.abspath(__file__))
    # plain: nothing padded. padded: a small image, a short caption, no box at all, more boxes than queries.
    plain = ([(32, 32)] * 2, [9, 9], [2, 3])
    padded = ([(32, 32), (20, 32), (13, 9), (32, 17)], [12, 7, 10, 5], [3, 0, 7, 1])
    write(os.path.join(here, "mdetr_conv.golden"), MICRO, dict(plain=plain, padded=padded), rng)
    write(os.path.join(here, "mdetr_patch.golden"), dict(MICRO, stem="patch"), dict(padded=padded), rng)


if __name__ == "__main__":
    main()
