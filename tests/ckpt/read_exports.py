"""Reads both exported forms with stock Python and builds one from the other through the index maps."""
import json
import struct
import sys

import numpy as np


def load(path):
    try:
        from safetensors import safe_open
        with safe_open(path, "np") as f:
            return {k: f.get_tensor(k) for k in f.keys()}, f.metadata()
    except ImportError:
        raw = open(path, "rb").read()
        n, = struct.unpack("<Q", raw[:8])
        header = json.loads(raw[8:8 + n])
        meta = header.pop("__metadata__")
        kinds = {"F32": "<f4", "I32": "<i4"}
        return {k: np.frombuffer(raw[8 + n + t["data_offsets"][0]:8 + n + t["data_offsets"][1]],
                                 kinds[t["dtype"]]).reshape(t["shape"]) for k, t in header.items()}, meta


shared, meta = load(sys.argv[1])
expanded, _ = load(sys.argv[2])
shape = json.loads(meta["espalier.shape"])
C, H, F = shape["width"], shape["heads"], shape["ffn"]
E = C // H
# Sites in the frame's order: vision layers (MSA, FFN), then text.
sites = [f"{side}.{layer}.{part}" for side, layers in (("vision", shape["vision_layers"]), ("text", shape["text_layers"]))
         for layer in range(layers) for part in ("msa", "ffn")]


def official(site, leaf):
    """The dense matrix of a site, from the expanded file."""
    side, layer, part = site.split(".")
    if side == "vision":
        block = f"backbone.0.body.blocks.{layer}."
        if leaf in ("wq", "wk", "wv"):
            i = "qkv".index(leaf[1])
            return expanded[block + "attn.qkv.weight"][i * C:(i + 1) * C]
        return expanded[block + {"wo": "attn.proj.weight", "w1": "mlp.fc1.weight", "w2": "mlp.fc2.weight"}[leaf]]
    block = f"transformer.text_encoder.encoder.layer.{layer}."
    return expanded[block + {"wq": "attention.self.query.weight", "wk": "attention.self.key.weight",
                             "wv": "attention.self.value.weight", "wo": "attention.output.dense.weight",
                             "w1": "intermediate.dense.weight", "w2": "output.dense.weight"}[leaf]]


checked = 0
for site in sites:
    msa = site.endswith("msa")
    width, groups = (E, H) if msa else (1, F)
    index = shared["index." + site]
    for leaf in ("wq", "wk", "wv", "wo") if msa else ("w1", "w2"):
        rows = leaf not in ("wo", "w2")
        dense = official(site, leaf) if rows else official(site, leaf).T
        dense = dense.reshape(groups, width, -1)
        kept = [g for g in range(groups) if np.abs(dense[g]).max() > 0]
        assert len(kept) == len(index), (site, leaf, len(kept), len(index))
        for g, (owner, position) in zip(kept, index):
            stored = shared[f"{sites[owner]}.{leaf}"]
            stored = (stored if rows else stored.T).reshape(-1, width, dense.shape[-1])
            assert np.array_equal(dense[g], stored[position]), (site, leaf, g)
            checked += 1
assert checked > 50
# Nothing is stored twice: the shared file holds fewer elements, and no index map names a row that is not there.
assert sum(a.size for n, a in shared.items() if not n.startswith("index.")) < sum(a.size for a in expanded.values())
print(f"{checked} groups found through the index maps, equal to the expanded file")
