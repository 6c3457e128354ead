"""Writes the seeds of targets whose input is no text that one would write by hand: seeds.py PROTO_DIR PROTOC CORPUS_DIR. Every method of the contract
once with plausible values in every field, so that a new RPC is fuzzed from its first day."""
import os
import shutil
import subprocess
import sys
import tempfile

proto, protoc, corpus = sys.argv[1:4]
made = tempfile.mkdtemp(prefix="espalier-seeds-")
subprocess.run([protoc, "-I", proto, "--python_out", made, "espalier/v1/job.proto", "espalier/v1/report.proto"], check=True)
sys.path.insert(0, made)
from espalier.v1 import job_pb2 as J  # noqa: E402
from espalier.v1 import report_pb2 as R  # noqa: E402

shutil.rmtree(made)
JOB = b"name: x\ndata: {pretrain: data, vocabulary: data}\nphases.pretrain.steps: 10\n"
KNOWN = {"id": "1", "job_file": JOB, "folder": "/dev/shm", "structure_json": b"{}", "sha256": "0" * 64, "key": "name"}


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

SLURM = [b"\x00" + b"12|RUNNING|None|part|n[1-2]|name", b"\x00" + b"13|PENDING|(Resources)|part||x",
         b"\x01" + b"JobId=12 JobName=a b JobState=COMPLETED Reason=None ExitCode=0:9 Partition=p NodeList=n1 BatchHost=n1",
         b"\x02" + b"12|CANCELLED by 0|0:15|part|n1|name", b"\x03" + b"12|COMPLETED|part|n1|name", b"\x04" + b"12;cluster",
         b"\x04" + b"MPI plugin types are...\n\tpmix\n\tnone\nspecific pmix plugin versions available: pmix_v4\n",
         b"\x04" + b"sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified",
         b"\x04" + b"slurm_load_jobs error: Unable to contact slurm controller (connect failure)"]
for i, line in enumerate(SLURM):
    write("slurm", "line-%d" % i, line)
