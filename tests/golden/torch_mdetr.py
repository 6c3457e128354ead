"""MDETR, ViT flavour, in plain PyTorch: model, matcher, losses, warm-up loss and REC evaluation.

Follows docs/spec/model-mdetr.md; parameters carry the official names of its section 2. It is the judge of the golden
tests and the peer of the benchmarks, so it is written plainly and computes in torch's default dtype.
Batches are padded arrays, so that no part but the assignment itself loops in Python:
    image [B,3,H,W] normalised, 0 on padding, image_mask [B,H,W] bool or None (true = picture),
    tokens [B,L] int64, text_mask [B,L] bool (true = token),
    boxes [B,G,4] cx,cy,w,h in [0,1], positive [B,G,S] 0/1, count [B] int64 (boxes of each caption).
"""
import math

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import nn

TINY = dict(image=64, patch=8, stem="conv", channels=96, heads=4, ffn=384, vision_layers=4, text_layers=4,
            fusion=64, fusion_heads=4, fusion_ffn=256, encoder_layers=2, decoder_layers=2, queries=8, slots=48,
            max_text=48, contrast=64, vocab=64, dropout=0.0)
SMALL = dict(image=224, patch=16, stem="conv", channels=384, heads=6, ffn=1536, vision_layers=12, text_layers=6,
             fusion=256, fusion_heads=8, fusion_ffn=1024, encoder_layers=3, decoder_layers=3, queries=16, slots=64,
             max_text=64, contrast=64, vocab=30522, dropout=0.1)
LARGE = dict(image=384, patch=16, stem="patch", channels=768, heads=12, ffn=3072, vision_layers=12, text_layers=12,
             fusion=256, fusion_heads=8, fusion_ffn=2048, encoder_layers=6, decoder_layers=6, queries=100, slots=256,
             max_text=255, contrast=64, vocab=1000, dropout=0.1)


def sine_position(mask, width):
    """Section 3: mask [B,h,w] bool (true = valid) -> [B,h*w,width]."""
    half = width // 2
    valid = mask.to(torch.get_default_dtype())
    y, x = valid.cumsum(1), valid.cumsum(2)
    y = y / (y[:, -1:, :] + 1e-6) * (2 * math.pi)
    x = x / (x[:, :, -1:] + 1e-6) * (2 * math.pi)
    i = torch.arange(half, dtype=valid.dtype, device=mask.device)
    t = 10000.0 ** (2 * torch.div(i, 2, rounding_mode="floor") / half)
    odd = (torch.arange(half, device=mask.device) % 2).bool()

    def axis(v):
        a = v[..., None] / t
        return torch.where(odd, a.cos(), a.sin())

    return torch.cat((axis(y), axis(x)), -1).flatten(1, 2)


def attend(q, k, v, heads, bias=None, drop=0.0):
    """q [B,T,C], k and v [B,M,C], bias [B,1,1,M] with -inf on padded keys or None."""
    b, t, c = q.shape
    e = c // heads
    q = q.view(b, t, heads, e).transpose(1, 2)
    k = k.view(b, -1, heads, e).transpose(1, 2)
    v = v.view(b, -1, heads, e).transpose(1, 2)
    a = torch.matmul(q * e ** -0.5, k.transpose(-1, -2))
    if bias is not None:
        a = a + bias
    a = a.softmax(-1)
    if drop:
        a = F.dropout(a, drop)
    return torch.matmul(a, v).transpose(1, 2).reshape(b, t, c)


def key_bias(mask):
    """mask [B,M] true = valid -> additive [B,1,1,M], or None when nothing is padded."""
    if mask is None or bool(mask.all()):
        return None
    return torch.zeros(mask.shape).masked_fill_(~mask, float("-inf"))[:, None, None, :]


class Names(nn.Module):
    """A module that only holds children under given names."""

    def __init__(self, **children):
        super().__init__()
        for name, child in children.items():
            self.add_module(name, child)


# ---- vision ----------------------------------------------------------------------------------------------------

class StemStep(nn.Conv2d):
    def __init__(self, cin, cout):
        super().__init__(cin, cout, 3, stride=2, padding=1)
        self.norm = nn.LayerNorm(cout)

    def forward(self, x):
        x = super().forward(x).permute(0, 2, 3, 1)
        return F.relu(self.norm(x)).permute(0, 3, 1, 2)


class PatchEmbed(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        c, p = cfg["channels"], cfg["patch"]
        self.patch = p
        if cfg["stem"] == "conv":
            n = int(math.log2(p))
            widths = [3] + [c >> (n - 1 - i) for i in range(n)]
            self.stem = nn.ModuleList(StemStep(widths[i], widths[i + 1]) for i in range(n))
            self.proj = nn.Conv2d(c, c, 1)
        else:
            self.stem = nn.ModuleList()
            self.proj = nn.Conv2d(3, c, p, stride=p)

    def forward(self, x):
        for step in self.stem:
            x = step(x)
        if len(self.stem):
            return F.linear(x.flatten(2).transpose(1, 2), self.proj.weight.flatten(1), self.proj.bias)
        return self.proj(x).flatten(2).transpose(1, 2)


class VisionLayer(nn.Module):
    def __init__(self, c, heads, ffn):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(c, eps=1e-6)
        self.attn = Names(qkv=nn.Linear(c, 3 * c), proj=nn.Linear(c, c))
        self.norm2 = nn.LayerNorm(c, eps=1e-6)
        self.mlp = Names(fc1=nn.Linear(c, ffn), fc2=nn.Linear(ffn, c))

    def forward(self, x, bias):
        q, k, v = self.attn.qkv(self.norm1(x)).chunk(3, -1)
        x = x + self.attn.proj(attend(q, k, v, self.heads, bias))
        return x + self.mlp.fc2(F.gelu(self.mlp.fc1(self.norm2(x))))


class Vision(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        c, side = cfg["channels"], cfg["image"] // cfg["patch"]
        self.side = side
        self.patch_embed = PatchEmbed(cfg)
        pos = sine_position(torch.ones(1, side, side, dtype=torch.bool), c)
        self.pos_embed = nn.Parameter(0.5 * pos)
        self.blocks = nn.ModuleList(VisionLayer(c, cfg["heads"], cfg["ffn"]) for _ in range(cfg["vision_layers"]))
        self.norm = nn.LayerNorm(c, eps=1e-6)

    def forward(self, image, bias):
        x = self.patch_embed(image) + self.pos_embed
        for block in self.blocks:
            x = block(x, bias)
        return self.norm(x)


# ---- text ------------------------------------------------------------------------------------------------------

class TextLayer(nn.Module):
    def __init__(self, c, heads, ffn, drop):
        super().__init__()
        self.heads, self.drop = heads, drop
        self.attention = nn.Module()
        self.attention.self = Names(query=nn.Linear(c, c), key=nn.Linear(c, c), value=nn.Linear(c, c))
        self.attention.output = Names(dense=nn.Linear(c, c), LayerNorm=nn.LayerNorm(c))
        self.intermediate = Names(dense=nn.Linear(c, ffn))
        self.output = Names(dense=nn.Linear(ffn, c), LayerNorm=nn.LayerNorm(c))

    def forward(self, x, bias):
        p = self.drop if self.training else 0.0
        at = self.attention
        y = attend(at.self.query(x), at.self.key(x), at.self.value(x), self.heads, bias, p)
        x = at.output.LayerNorm(x + F.dropout(at.output.dense(y), p, p > 0))
        y = self.output.dense(F.gelu(self.intermediate.dense(x)))
        return self.output.LayerNorm(x + F.dropout(y, p, p > 0))


class Text(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        c = cfg["channels"]
        self.drop = cfg["dropout"]
        self.embeddings = Names(word_embeddings=nn.Embedding(cfg["vocab"], c),
                                position_embeddings=nn.Embedding(cfg["max_text"], c),
                                LayerNorm=nn.LayerNorm(c))
        self.encoder = Names(layer=nn.ModuleList(
            TextLayer(c, cfg["heads"], cfg["ffn"], self.drop) for _ in range(cfg["text_layers"])))

    def forward(self, tokens, bias):
        em = self.embeddings
        x = em.word_embeddings(tokens) + em.position_embeddings.weight[:tokens.shape[1]]
        x = F.dropout(em.LayerNorm(x), self.drop, self.training)
        for layer in self.encoder.layer:
            x = layer(x, bias)
        return x


# ---- fusion ----------------------------------------------------------------------------------------------------

class Attention(nn.Module):
    def __init__(self, d, heads, drop):
        super().__init__()
        self.heads, self.drop = heads, drop
        self.in_proj_weight = nn.Parameter(torch.empty(3 * d, d))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * d))
        self.out_proj = nn.Linear(d, d)

    def forward(self, q, k, v, bias):
        d = q.shape[-1]
        w, b = self.in_proj_weight, self.in_proj_bias
        if q is k:
            q, k = F.linear(q, w[:2 * d], b[:2 * d]).chunk(2, -1)
        else:
            q, k = F.linear(q, w[:d], b[:d]), F.linear(k, w[d:2 * d], b[d:2 * d])
        v = F.linear(v, w[2 * d:], b[2 * d:])
        return self.out_proj(attend(q, k, v, self.heads, bias, self.drop if self.training else 0.0))


class EncoderLayer(nn.Module):
    def __init__(self, d, heads, ffn, drop):
        super().__init__()
        self.drop = drop
        self.self_attn = Attention(d, heads, drop)
        self.linear1, self.linear2 = nn.Linear(d, ffn), nn.Linear(ffn, d)
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)

    def forward(self, x, pos, bias):
        def dr(y):
            return F.dropout(y, self.drop, self.training)
        q = x + pos
        x = self.norm1(x + dr(self.self_attn(q, q, x, bias)))
        return self.norm2(x + dr(self.linear2(dr(F.relu(self.linear1(x))))))


class DecoderLayer(nn.Module):
    def __init__(self, d, heads, ffn, drop):
        super().__init__()
        self.drop = drop
        self.self_attn = Attention(d, heads, drop)
        self.cross_attn_image = Attention(d, heads, drop)
        self.linear1, self.linear2 = nn.Linear(d, ffn), nn.Linear(ffn, d)
        self.norm1, self.norm3, self.norm4 = nn.LayerNorm(d), nn.LayerNorm(d), nn.LayerNorm(d)

    def forward(self, t, query, memory, keys, bias):
        def dr(y):
            return F.dropout(y, self.drop, self.training)
        q = t + query
        t = self.norm1(t + dr(self.self_attn(q, q, t, None)))
        t = self.norm3(t + dr(self.cross_attn_image(t + query, keys, memory, bias)))
        return self.norm4(t + dr(self.linear2(dr(F.relu(self.linear1(t))))))


class Mlp(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.layers = nn.ModuleList((nn.Linear(d, d), nn.Linear(d, d), nn.Linear(d, 4)))

    def forward(self, x):
        return self.layers[2](F.relu(self.layers[1](F.relu(self.layers[0](x))))).sigmoid()


class Mdetr(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.cfg = dict(cfg)
        c, d, drop = cfg["channels"], cfg["fusion"], cfg["dropout"]
        h, f = cfg["fusion_heads"], cfg["fusion_ffn"]
        self.backbone = nn.ModuleList((Names(body=Vision(cfg)),))
        self.transformer = Names(
            text_encoder=Text(cfg),
            resizer=Names(fc=nn.Linear(c, d), layer_norm=nn.LayerNorm(d, eps=1e-12)),
            encoder=Names(layers=nn.ModuleList(EncoderLayer(d, h, f, drop) for _ in range(cfg["encoder_layers"]))),
            decoder=Names(layers=nn.ModuleList(DecoderLayer(d, h, f, drop) for _ in range(cfg["decoder_layers"])),
                          norm=nn.LayerNorm(d)))
        self.input_proj = nn.Conv2d(c, d, 1)
        self.query_embed = nn.Embedding(cfg["queries"], d)
        self.class_embed = nn.Linear(d, cfg["slots"])
        self.bbox_embed = Mlp(d)
        self.contrastive_align_projection_image = nn.Linear(d, cfg["contrast"])
        self.contrastive_align_projection_text = nn.Linear(d, cfg["contrast"])
        self.warmup = nn.Linear(c, cfg["vocab"])
        self.warmup.box = nn.Linear(c, 4)
        self.reset()

    def reset(self):
        for name, p in self.named_parameters():
            if name.endswith("pos_embed"):
                continue
            if name == "query_embed.weight":
                nn.init.normal_(p)
            elif p.dim() == 1:
                nn.init.constant_(p, 1.0 if name.endswith("weight") else 0.0)   # only norms have 1-d weights
            elif name.startswith("backbone") and ".stem." in name:
                nn.init.kaiming_normal_(p, mode="fan_in", nonlinearity="relu")
            elif name.startswith(("backbone", "transformer.text_encoder", "warmup")):
                nn.init.trunc_normal_(p, std=0.02, a=-0.04, b=0.04)
            else:
                nn.init.xavier_uniform_(p)

    def vision_features(self, image, image_mask=None):
        body = self.backbone[0].body
        b, side = image.shape[0], body.side
        if image_mask is None:
            patches = torch.ones(b, side, side, dtype=torch.bool)
            bias = None
        else:
            p = self.cfg["patch"]
            patches = image_mask[:, ::p, ::p]
            bias = key_bias(patches.flatten(1))
        return body(image, bias), patches

    def text_features(self, tokens, text_mask):
        tr = self.transformer
        y = tr.text_encoder(tokens, key_bias(text_mask))
        return F.dropout(tr.resizer.layer_norm(tr.resizer.fc(y)), self.cfg["dropout"], self.training)

    def forward(self, image, tokens, text_mask, image_mask=None):
        tr, cfg = self.transformer, self.cfg
        x, patches = self.vision_features(image, image_mask)
        x = F.linear(x, self.input_proj.weight.flatten(1), self.input_proj.bias)
        y = self.text_features(tokens, text_mask)
        n = x.shape[1]
        if image_mask is None:
            if not hasattr(self, "_pos"):
                self._pos = sine_position(patches[:1], cfg["fusion"])
            pos = self._pos.expand(x.shape[0], -1, -1)
        else:
            pos = sine_position(patches, cfg["fusion"])
        pos = torch.cat((pos, torch.zeros_like(y)), 1)
        bias = key_bias(torch.cat((patches.flatten(1), text_mask), 1))
        memory = torch.cat((x, y), 1)
        for layer in tr.encoder.layers:
            memory = layer(memory, pos, bias)
        query = self.query_embed.weight.expand(x.shape[0], -1, -1)
        t = torch.zeros_like(query)
        keys, layers = memory + pos, []
        for layer in tr.decoder.layers:
            t = layer(t, query, memory, keys, bias)
            layers.append(tr.decoder.norm(t))
        text = F.normalize(self.contrastive_align_projection_text(memory[:, n:]), dim=-1, eps=1e-12)
        return [dict(logits=self.class_embed(hs), boxes=self.bbox_embed(hs), hs=hs, memory=memory, contrast_text=text,
                     contrast_image=F.normalize(self.contrastive_align_projection_image(hs), dim=-1, eps=1e-12))
                for hs in layers]


# ---- losses ----------------------------------------------------------------------------------------------------

def corners(b):
    return torch.cat((b[..., :2] - b[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2), -1)


def iou_giou(a, b):
    """Boxes cx,cy,w,h that broadcast against each other -> (IoU, GIoU)."""
    a, b = corners(a), corners(b)
    inter = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - inter
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1)
    iou = inter / union
    return iou, iou - (hull - union) / hull


@torch.no_grad()
def match(out, boxes, positive, count):
    """-> (image index, query index, box index) of the matched pairs."""
    prob = out["logits"].softmax(-1)
    cost = 5 * (out["boxes"][:, :, None] - boxes[:, None]).abs().sum(-1)
    cost = cost - prob @ positive.transpose(1, 2) - 2 * iou_giou(out["boxes"][:, :, None], boxes[:, None])[1]
    cost, bi, qi, gi = cost.numpy(), [], [], []
    for b, n in enumerate(count.tolist()):
        if n:
            q, g = linear_sum_assignment(cost[b, :, :n])
            bi += [b] * len(q)
            qi += q.tolist()
            gi += g.tolist()
    return torch.tensor(bi, dtype=torch.long), torch.tensor(qi, dtype=torch.long), torch.tensor(gi, dtype=torch.long)


def contrast(q, t, positive, temperature):
    """q [B,Q,k], t [B,L,k] of unit length, positive [B,Q,L]: both directions, halved and summed."""
    z = q @ t.transpose(1, 2) / temperature
    total = 0.0
    for dim in (2, 1):
        n = positive.sum(dim)
        total = total + ((z.logsumexp(dim) - (z * positive).sum(dim) / (n + 1e-6)) * (n > 0)).sum()
    return total / 2


def layer_losses(out, boxes, positive, count):
    num = max(1, int(count.sum()))
    bi, qi, gi = match(out, boxes, positive, count)
    logp = out["logits"].log_softmax(-1)
    b, q, s = logp.shape
    y = torch.zeros(b, q, s)
    y[..., -1] = 0.1
    y[bi, qi] = positive[bi, gi]
    ce = -(y * logp).sum() / num
    pb, tb = out["boxes"][bi, qi], boxes[bi, gi]
    bbox = (pb - tb).abs().sum() / num
    giou = (1 - iou_giou(pb, tb)[1]).sum() / num
    length = out["contrast_text"].shape[1]
    pos = torch.zeros(b, q, length)
    pos[bi, qi] = positive[bi, gi][:, :length]
    con = contrast(out["contrast_image"], out["contrast_text"], pos, 0.07) / num
    return dict(ce=ce, bbox=bbox, giou=giou, contrast=con)


WEIGHTS = dict(ce=1.0, bbox=5.0, giou=2.0, contrast=1.0)


def losses(outs, boxes, positive, count, weights=WEIGHTS):
    """-> (total, the last layer's terms)."""
    total = 0.0
    for out in outs:
        terms = layer_losses(out, boxes, positive, count)
        total = total + sum(weights[k] * v for k, v in terms.items())
    return total, terms


def rows_loss(logits, target, weight):
    """logits and target [B,R,S], weight [B,R]: weighted soft-target cross entropy, summed."""
    return -(weight * (target * logits.log_softmax(-1)).sum(-1)).sum()


def shown_boxes(box, target):
    """(5 L1 + 2 (1 - GIoU)) summed over the rows whose target is not NaN; both [B,N,4]."""
    shown = ~target[..., 0].isnan()
    box, target = box[shown], target[shown]
    return (box - target).abs().sum(), (1 - iou_giou(box, target)[1]).sum()


def dense_loss(model, memory, image, text, boxes, num):
    """Section 5a. image and text: (target, weight) of the rows; boxes [B,N,4], NaN where a patch shows no object."""
    n = boxes.shape[1]
    bbox, giou = shown_boxes(model.bbox_embed(memory[:, :n]), boxes)
    words = rows_loss(model.class_embed(memory[:, :n]), *image) / num
    return (words + (5 * bbox + 2 * giou) / (num * n ** 0.5)
            + 0.5 * rows_loss(model.class_embed(memory[:, n:]), *text) / num)


def meeting_loss(model, x, y, likeness, boxes, num):
    """Section 6: patches x [B,N,C] and text y [B,L,d]; likeness [B,N,L], 1 where the patch shows the token's object."""
    x = F.linear(x, model.input_proj.weight.flatten(1), model.input_proj.bias)
    alike = contrast(F.normalize(x, dim=-1, eps=1e-12), F.normalize(y, dim=-1, eps=1e-12), likeness, 0.1)
    bbox, giou = shown_boxes(model.bbox_embed(x), boxes)
    return (alike + 5 * bbox + 2 * giou) / (num * x.shape[1] ** 0.5)


def warmup_loss(model, image, words, boxes, likeness, tokens, text_mask, text, num, image_mask=None):
    """Section 6. words [B,N,V], each row's mass 1; boxes as in dense_loss; text (target, weight) of the text rows."""
    x, patches = model.vision_features(image, image_mask)
    y = model.text_features(tokens, text_mask)
    real = patches.flatten(1)
    ce = rows_loss(model.warmup(x), words, real.to(x.dtype))
    ce, bbox, giou = (v / real.numel() for v in (ce, *shown_boxes(model.warmup.box(x).sigmoid(), boxes)))
    rows = rows_loss(model.class_embed(y), *text) / num + meeting_loss(model, x, y, likeness, boxes, num)
    return 4 * ce + 5 * bbox + 2 * giou + rows, dict(ce=ce, bbox=bbox, giou=giou, dense=rows)


@torch.no_grad()
def rec_hits(outs, box, k=1):
    """box [B,4] -> (IoU hits, GIoU hits) [B] bool at P@k."""
    out = outs[-1]
    top = (1 - out["logits"].softmax(-1)[..., -1]).topk(k, 1).indices
    best = out["boxes"].gather(1, top[..., None].expand(-1, -1, 4))
    iou, giou = iou_giou(best, box[:, None])
    return (iou >= 0.5).any(1), (giou >= 0.5).any(1)
