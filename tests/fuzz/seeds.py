"""Writes the seeds that a mutation does not come upon, and the dictionaries that our own tables give: seeds.py PROTO_DIR PROTOC CORPUS_DIR. Every method of the contract
once with plausible values in every field, so that a new RPC is fuzzed from its first day; and of each format something that is accepted."""
import glob
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib

proto, protoc, corpus = sys.argv[1:4]
made = tempfile.mkdtemp(prefix="espalier-seeds-")
subprocess.run([protoc, "-I", proto, "--python_out", made, "espalier/v1/job.proto", "espalier/v1/report.proto"], check=True)
sys.path.insert(0, made)
from espalier.v1 import job_pb2 as J  # noqa: E402
from espalier.v1 import report_pb2 as R  # noqa: E402

shutil.rmtree(made)
JOB = b"name: x\ndata: {pretrain: data, vocabulary: data}\nphases.pretrain.steps: 10\n"
KNOWN = {"id": "1", "job_file": JOB, "folder": "/bed", "structure_json": b"{}", "sha256": "0" * 64, "key": "name", "host": "localhost"}


def fill(message, depth=0):
    for field in message.DESCRIPTOR.fields:
        if field.containing_oneof and field is not field.containing_oneof.fields[0]:
            continue
        many = field.label == field.LABEL_REPEATED
        if field.message_type:
            if depth < 3:
                fill(getattr(message, field.name).add() if many else getattr(message, field.name), depth + 1)
                if not many:
                    getattr(message, field.name).SetInParent()
            continue
        if field.cpp_type == field.CPPTYPE_STRING:
            value = KNOWN.get(field.name, b"x" if field.type == field.TYPE_BYTES else "x")
        else:
            value = 1
        if many:
            getattr(message, field.name).append(value)
        else:
            setattr(message, field.name, value)
    return message


def write(target, name, data):
    os.makedirs(os.path.join(corpus, target), exist_ok=True)
    with open(os.path.join(corpus, target, name), "wb") as f:
        f.write(data)


methods = [m for s in (J.DESCRIPTOR.services_by_name["JobService"], R.DESCRIPTOR.services_by_name["ReportService"])
           for m in s.methods]


def call(name, role, message):
    data = message.SerializeToString()
    total = 0
    for c in name.encode():
        total = total * 31 + c & 0xffff
    return total.to_bytes(2, "little") + bytes([role]) + len(data).to_bytes(2, "little") + data


for m in methods:
    request = getattr(J, m.input_type.name, None) or getattr(R, m.input_type.name)
    for role in (2, 3):
        write("requests", "%s-%d" % (m.name.lower(), role), call(m.name, role, fill(request())))
    if "id" in m.input_type.fields_by_name:
        write("requests", m.name.lower() + "-plain", call(m.name, 3, request(id="1")) + call(m.name, 3, request(id="2")))



def structure(shape, size, block_msa, block_ffn, counts, last):
    """Of two equal backbones of two layers; `last` is the bit of a layer's last group."""
    sites = []
    for side in ("vision", "text"):
        for layer in range(2):
            for part, n, block in (("msa", shape["heads"], block_msa), ("ffn", shape["ffn"], block_ffn)):
                shares = side == "text" or (block and layer > 0 and size == 2)
                sites.append({"site": "%s.%d.%s" % (side, layer, part), "m": "1" * (n - 1) + last, **({"s": "0" * n} if shares else {})})
    options = {"block_size": size, "cross_msa": True, "cross_ffn": True, "block_msa": block_msa, "block_ffn": block_ffn, "prune": True, "share": True}
    counts = dict(zip(("dense_whole", "dense_backbones", "whole", "backbones"), counts))
    return json.dumps({"format": "espalier-structure", "version": 1, "vision": shape, "text": shape, "options": options, "parameters": counts, "sites": sites})


SEARCH = b"""data: {task: data, vocabulary: data}
model: {image: 32, patch: 8, width: 8, heads: 2, ffn: 8, vision_layers: 2, text_layers: 2, fusion_width: 8, fusion_heads: 2, fusion_ffn: 8, encoder_layers: 1,
  decoder_layers: 1, queries: 1}
train.batch: 6
phases.search.steps: 2000
method.target: 0.95
"""
STRUCTURE = structure({"layers": 2, "width": 8, "heads": 2, "ffn": 8}, 3, True, False, (6148, 2968, 6148, 2968), "1").encode()
CHECKPOINT = "checkpoints/step-000000000021.safetensors"  # of daemon_bed.c, and so is the artifact
ONE = {"id": "1"}
TALKS = {
    "checkpoint": [("VerifyCheckpoint", J.VerifyCheckpointRequest(name=CHECKPOINT, **ONE)), ("ListCheckpoints", J.ListCheckpointsRequest(**ONE)),
                   ("PinCheckpoint", J.PinCheckpointRequest(name="21", pinned=True, **ONE)), ("ListCheckpoints", J.ListCheckpointsRequest(**ONE)),
                   ("PinCheckpoint", J.PinCheckpointRequest(name="21", **ONE)), ("Download", J.DownloadRequest(name=CHECKPOINT, offset_bytes=1, **ONE))],
    "result": [("Download", J.DownloadRequest(name="result.json", **ONE))],
    "end": [("Resolve", J.ResolveRequest(**ONE, **{"as": 1})), ("Cancel", J.CancelRequest(**ONE)), ("Explain", J.ExplainRequest(**ONE)), ("Resolve", J.ResolveRequest(**ONE, **{"as": 2}))],
    "queue": [("Hold", J.ControlRequest(id="3")), ("Explain", J.ExplainRequest(id="3")), ("Release", J.ControlRequest(id="3")),
              ("Update", J.UpdateRequest(id="3", priority=7)), ("Cancel", J.CancelRequest(id="3")), ("Retry", J.RetryRequest(id="3"))],
    "pause": [("Pause", J.ControlRequest(**ONE)), ("Explain", J.ExplainRequest(**ONE)), ("Resume", J.ControlRequest(**ONE))],
    "forget": [("CollectCheckpoints", J.CollectCheckpointsRequest(id="2")), ("Remove", J.RemoveRequest(id="2")), ("Get", J.GetRequest(id="2"))],
    "logs": [("Logs", J.LogsRequest(grep="step [1-9]{1,2}$", ranks=[0, 1], level=2, since_ms=1769862896000, **ONE)),
             ("Logs", J.LogsRequest(tail_lines=2, follow=True, **ONE)), ("Logs", J.LogsRequest(grep="^(a|[^b-d]*)+\\\\.", after=3, **ONE))],
    "watch": [("Watch", J.WatchRequest(kinds=["state", "note"], level=3, since_ms=1, grep="x?|y+", **ONE)), ("Watch", J.WatchRequest(follow=True))],
    "tokens": [("AddToken", J.AddTokenRequest(name="a@b", role=2, sha256="0" * 64, expires_ms=1 << 50)), ("ListTokens", J.ListTokensRequest()),
               ("RevokeToken", J.RevokeTokenRequest(name="a@b"))],
    "pages": [("List", J.ListRequest(page_size=2)), ("List", J.ListRequest(page_size=1, page_token="before-3", states=[1, 4, 6]))],
    "nodes": [("DrainNode", J.DrainNodeRequest(host="localhost", drain=True)), ("Nodes", J.NodesRequest()), ("Explain", J.ExplainRequest(id="3"))],
    "search": [("Submit", J.SubmitRequest(job_file=SEARCH, request_id="s", folder="/bed", structure_json=STRUCTURE, hold=True)),
               ("Explain", J.ExplainRequest(id="last")), ("Release", J.ControlRequest(id="last")), ("Explain", J.ExplainRequest(id="last"))],
    "set": [("Validate", J.ValidateRequest(job_file=SEARCH, folder="/bed", file_name="f",
                                           overrides=[J.Override(key="method.target", value="0.9"), J.Override(key="train.seed", value="2")]))],
}
for name, talk in TALKS.items():
    write("requests", "talk-" + name, b"".join(call(method, 3, message) for method, message in talk))

records = []
for field in R.Record.DESCRIPTOR.oneofs_by_name["kind"].fields:
    record = R.Record(number=len(records) + 1, time_ms=1)
    fill(getattr(record, field.name)).SetInParent()
    records.append(record)
    write("reports", "report-" + field.name, b"\0" + R.ReportRequest(records=[record]).SerializeToString())
write("reports", "report-all", b"\0" + R.ReportRequest(records=records).SerializeToString())


def frame(kind, data):
    return kind + len(data).to_bytes(4, "little") + bytes(8) + data


head = frame(b"H", R.ReportRequest(job_id="1", attempt=1).SerializeToString())
write("reports", "spool-all", b"\1" + head + b"".join(frame(b"R", r.SerializeToString()) for r in records))
write("reports", "spool-torn", b"\1" + head + frame(b"R", records[0].SerializeToString()) + frame(b"A", b"\x01")[:-3])

for i in range(0, 200, 10):
    write("events", "edges-%03d" % i, bytes(range(i, i + 10)))
for kind in range(6):
    write("events", "stored-%d" % kind, bytes([16, 200, kind, kind % 3, 20]) + b"\x0a\x04task\x10\x05\x18\x0a" + bytes(10) + bytes([4]))

def read(*path):
    with open(os.path.join(proto, *path)) as f:
        return f.read()


def dictionary(target, words):
    with open(os.path.join(corpus, target + ".dict"), "w") as f:
        f.writelines('"%s"\n' % word for word in sorted(words))


keys = re.findall(r'^[A-Z]+\([a-z_0-9]+, "([a-z_0-9.]+)"(?:, "[a-z_0-9]+", "([^"]+)")?', read("jobfile", "schema.def"), re.M)
dictionary("jobfile", {word for key, choices in keys for word in (key, *key.split("."), *choices.split("|")) if word} |
           {": ", "\\x0a  ", "{", "}", "[", "&a", "*a", "!!int", "---", "1e-4", "\\x22"})
dictionary("slurm", {word for name in ("job/slurm_reason.c", "launch/slurm_parse.c")
                     for word in re.findall(r'"([A-Za-z_ ]{3,40})"', read("..", "daemon", *name.split("/")))})
for path in glob.glob(os.path.join(proto, "..", "deploy", "examples", "*.yaml")):
    with open(path, "rb") as f:
        write("jobfile", os.path.basename(path), f.read())

for block in (False, True):
    write("structure", "tiny-%d" % block, structure({"layers": 2, "width": 4, "heads": 2, "ffn": 3}, 2, block, block, (1000, 900, 0, 0), "0").encode())

IMAGE = {"id": 1, "file_name": "a.png", "height": 8, "width": 9, "caption": "the red \u00e9 cube", "original_id": 3, "family": "attr"}
BOX = {"id": 5, "image_id": 1, "bbox": [1, 2.5, 3, 4], "tokens_positive": [[4, 7], [10, 14]], "iscrowd": 0, "area": 12}
BLIND = {"attr": {"n": 2, "random": 0.25, "head_noun": 0.5, "attributes": 1}}
SETS = [{"info": {"blind": BLIND}, "images": [IMAGE], "annotations": [BOX], "categories": []},
        {"annotations": [dict(BOX, id=n, image_id=n % 2 + 1, iscrowd=n % 3 == 2) for n in range(4)],
         "images": [IMAGE, dict(IMAGE, id=2, family="rel", file_name="b.png", caption="a")]}, {"images": [], "annotations": []}]
for i, dataset in enumerate(SETS):
    write("data", "annotations-%d" % i, b"\0" + json.dumps(dataset).encode())


def png(depth, colour, samples, interlace=0, extra=()):
    rows = b"".join(b"\0" + bytes((3 * depth * samples + 7) // 8) for _ in range(3))
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 3, 3, depth, colour, 0, 0, interlace)), *extra, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)


COLOURS = [(1, 0, 1), (8, 0, 1), (16, 0, 1), (8, 2, 3), (16, 2, 3), (4, 3, 1), (8, 4, 2), (8, 6, 4)]
for depth, colour, samples in COLOURS:
    extra = [(b"PLTE", bytes(range(48))), (b"tRNS", b"\x80")] if colour == 3 else [(b"gAMA", struct.pack(">I", 45455))]
    write("data", "png-%d-%d" % (colour, depth), b"\1" + png(depth, colour, samples, extra=extra))
write("data", "png-interlaced", b"\1" + png(8, 2, 3, interlace=1))
write("data", "words", b"\2the\nred\ncube\n,\n\xc3\xa9t\xc3\xa9\n")
tensors, at = {"__metadata__": {"format": "pt", "note": "x"}}, 0
for dtype, size in (("F64", 8), ("F32", 4), ("F16", 2), ("BF16", 2), ("I64", 8), ("I32", 4), ("U8", 1), ("BOOL", 1)):
    tensors["text.0." + dtype] = {"dtype": dtype, "shape": [2, 1], "data_offsets": [at, at + 2 * size]}
    at += 2 * size
head = json.dumps(tensors).encode()
write("data", "safetensors", b"\3" + struct.pack("<Q", len(head)) + head + bytes(at))

SLURM = [b"\x00" + b"12|RUNNING|None|part|n[1-2]|name", b"\x00" + b"13|PENDING|(Resources)|part||x",
         b"\x01" + b"JobId=12 JobName=a b JobState=COMPLETED Reason=None ExitCode=0:9 Partition=p NodeList=n1 BatchHost=n1",
         b"\x02" + b"12|CANCELLED by 0|0:15|part|n1|name", b"\x03" + b"12|COMPLETED|part|n1|name", b"\x04" + b"12;cluster",
         b"\x04" + b"MPI plugin types are...\n\tpmix\n\tnone\nspecific pmix plugin versions available: pmix_v4\n",
         b"\x04" + b"sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified",
         b"\x04" + b"slurm_load_jobs error: Unable to contact slurm controller (connect failure)"]
for i, line in enumerate(SLURM):
    write("slurm", "line-%d" % i, line)
