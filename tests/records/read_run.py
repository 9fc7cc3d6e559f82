#!/usr/bin/env python3
# Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
"""Prints the journal and checkpoints of a run's directory as JSON, or fails an assertion.

Written from docs/journal.md and docs/checkpoint.md alone."""
import glob, hashlib, json, struct, sys

MASK = (1 << 64) - 1

def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF

def hex_digest(*lanes):
    return "%016x%016x" % lanes

def sums(raw):
    names = ("score", "coarse_score", "correct", "tokens")
    return dict(zip(names, struct.unpack("<qqQQ", raw))) if raw else None

def commit(p, pairs):
    step, encoding, flags, zero, alpha, z, *lanes = struct.unpack_from("<IBBHIIQQ", p)
    score, tokens, nonzero, n = struct.unpack_from("<qQII", p, 32)
    fitness, at = p[len(p) - n:], 56 + 32 * flags
    assert len(p) == at + n and flags < 2 and encoding < 2 and zero == 0
    values = struct.unpack("%db" % n, fitness) if encoding else [
        byte // 3 ** j % 3 - 1 for byte in fitness for j in range(5)]
    assert n == (pairs if encoding else -(-pairs // 5)) and not any(values[pairs:])
    assert min(values) >= -127 if encoding else max(fitness) < 243
    counts = {"positive": sum(f > 0 for f in values), "negative": sum(f < 0 for f in values)}
    assert sum(counts.values()) == nonzero
    return {"step": step, "digest": hex_digest(*lanes), "alpha": alpha, **counts, "score": score,
            "tokens": tokens, "held_out": sums(p[56:at])}

def journal(data):
    assert data[:8] == b"HATCHJRN" and struct.unpack_from("<II", data, 8) == (1, 1)
    run, chain, at = {"steps": [], "closing": None}, hashlib.sha256(data[:16]).digest(), 16
    while at < len(data):
        head = data[at:at + 16]
        length, kind, payload_crc, head_crc = struct.unpack("<IIII", head)
        p = data[at + 16:at + 16 + length]
        assert crc32c(head[:12]) == head_crc and crc32c(p) == payload_crc, f"CRC at byte {at}"
        chain = hashlib.sha256(chain + head + p).digest()
        assert data[at + 16 + length:at + 48 + length] == chain, f"chain of byte {at}"
        assert (kind == 1) == (at == 16) and kind in (1, 2, 3, 4) and not run["closing"]
        at += 48 + length
        if kind == 1:
            run["header"] = json.loads(p)
        elif kind == 2:
            run["steps"].append(commit(p, run["header"]["job"]["population"] // 2))
            assert run["steps"][-1]["step"] == len(run["steps"]) - 1
        elif kind == 4:
            step, flags, *lanes = struct.unpack_from("<IIQQ", p)
            assert step == len(run["steps"]) and len(p) == 24 + 32 * flags
            run["closing"] = {"digest": hex_digest(*lanes), "held_out": sums(p[24:])}
    return run

def mix(v):
    v = (v ^ v >> 30) * 0xBF58476D1CE4E5B9 & MASK
    v = (v ^ v >> 27) * 0x94D049BB133111EB & MASK
    return v ^ v >> 31

def checkpoint(data):
    (h,) = struct.unpack_from("<Q", data)
    header, weights, at, tensors, lanes = json.loads(data[8:8 + h]), b"", 0, [], [0, 0]
    meta = header.pop("__metadata__")
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, end = entry["data_offsets"]
        assert entry["dtype"] == "I8" and begin == at, name
        raw, at = data[8 + h + begin:8 + h + end], end
        weights += raw + bytes(-len(raw) % 8)
        sha256 = hashlib.sha256(raw).hexdigest()
        tensors.append({"name": name, "shape": entry["shape"], "sha256": sha256})
    for i, (word,) in enumerate(struct.iter_unpack("<Q", weights), 1):
        lanes[0] += mix(word ^ mix(i * 0x9E3779B97F4A7C15 & MASK))
        lanes[1] += mix(word + mix(i * 0xC2B2AE3D27D4EB4F & MASK) & MASK)
    digest = hex_digest(lanes[0] & MASK, lanes[1] & MASK)
    seal = "".join(meta[k] + "\n" for k in ("format", "contract", "step", "digest", "job"))
    assert hashlib.sha256(seal.encode()).hexdigest() == meta["sha256"], "metadata"
    assert 8 + h + at == len(data) and h % 8 == 0 and digest == meta["digest"], "digest"
    return {"step": int(meta["step"]), "digest": digest, "job": json.loads(meta["job"]),
            "tensors": tensors}

def read(path):
    with open(path, "rb") as file:
        return file.read()

paths = sorted(glob.glob(sys.argv[1] + "/checkpoints/*.safetensors"))
print(json.dumps({"journal": journal(read(sys.argv[1] + "/journal.hatchery")),
                  "checkpoints": [checkpoint(read(path)) for path in paths]}))
