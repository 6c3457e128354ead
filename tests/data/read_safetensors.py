#!/usr/bin/env python3
"""Runs `WRITER FILE` and reads FILE with nothing but the format's description, then with the official package
where that is installed. Usage: read_safetensors.py WRITER FILE"""
import json
import struct
import subprocess
import sys

F32 = [0, -1.5, 3.25, 1e-8, 65504, -0.1]
WANT = {  # name: dtype, shape, struct letter, values
    "z.half": ("F16", [2, 3], "e", F32),
    "u8": ("U8", [3], "B", [0, 1, 255]),
    'w"quoted"': ("F32", [3, 2], "f", F32),
    "double": ("F64", [3], "d", [1 / 3, -2, 1e300]),
    "int": ("I32", [4], "i", [1, -2, 2147483647, 0]),
    "bf": ("BF16", [6], "H", F32),
    "narrowed": ("F32", [2], "f", [1 / 3, -2]),
    "scalar": ("F32", [], "f", [-1.5]),
    "empty": ("F32", [0, 7], "f", []),
}


def close(a, b):
    return a == b or abs(a - b) <= 1e-2 * abs(b) + 1e-7


def main():
    writer, path = sys.argv[1:]
    subprocess.run([writer, path], check=True)
    data = open(path, "rb").read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    body = data[8 + length :]
    assert length % 8 == 0
    assert header.pop("__metadata__") == {"format": "espalier", "text": 'a "b"\n\u00e9'}
    assert sorted(header) == sorted(WANT), sorted(header)
    end = 0
    for name, entry in header.items():  # in the file's order
        dtype, shape, letter, values = WANT[name]
        assert entry["dtype"] == dtype and entry["shape"] == shape, (name, entry)
        begin, stop = entry["data_offsets"]
        assert begin == end, name
        end = stop
        got = list(struct.unpack(f"<{len(values)}{letter}", body[begin:stop]))
        if dtype == "BF16":
            got = [struct.unpack("<f", struct.pack("<I", bits << 16))[0] for bits in got]
        assert all(close(a, b) for a, b in zip(got, values)), (name, got)
    assert end == len(body)
    try:
        from safetensors import safe_open
    except ImportError:
        print("read by hand; the package safetensors is not installed")
        return
    with safe_open(path, framework="np") as f:
        assert sorted(f.keys()) == sorted(WANT)
    print("read by hand and by the package safetensors")


main()
