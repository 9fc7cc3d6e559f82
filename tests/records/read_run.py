# Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
"""Prints a run's journal and checkpoints; written from docs/journal.md and docs/checkpoint.md."""
import hashlib, json, pathlib, struct, sys
MASK, SUMS = (1 << 64) - 1, ("score", "coarse_score", "correct", "tokens")
def crc32c(data, crc=0xFFFFFFFF):
    for bit in (byte >> i & 1 for byte in data for i in range(8)):
        crc = crc >> 1 ^ (0x82F63B78 if (crc ^ bit) & 1 else 0)
    return crc ^ 0xFFFFFFFF
def held_out(raw):
    return dict(zip(SUMS, struct.unpack("<qqQQ", raw))) if raw else None
def commit(p, number, pairs):
    step, encoding, flags, zero, alpha, z, *lanes = struct.unpack_from("<IBBHIIQQ", p)
    score, tokens, nonzero, n = struct.unpack_from("<qQII", p, 32)
    at, fitness = 56 + 32 * flags, p[len(p) - n:]
    assert (step, zero, len(p)) == (number, 0, at + n) and flags < 2 and encoding < 2
    assert n == (pairs if encoding else -(-pairs // 5)) and (encoding or max(fitness) < 243)
    values = struct.unpack("%db" % n, fitness) if encoding else [
        byte // 3 ** j % 3 - 1 for byte in fitness for j in range(5)]
    assert min(values) > -128 and not any(values[pairs:]) and sum(map(bool, values)) == nonzero
    return {"step": step, "digest": "%016x%016x" % (*lanes,), "alpha": alpha, "nonzero": nonzero,
            "score": score, "tokens": tokens, "held_out": held_out(p[56:at])}
def journal(data):
    assert data[:16] == b"HATCHJRN" + struct.pack("<II", 1, 1)
    header, steps, closing, chain, at = None, [], None, hashlib.sha256(data[:16]).digest(), 16
    while at < len(data):
        length, kind, *crcs = struct.unpack_from("<IIII", data, at)
        head, p, at = data[at:at + 16], data[at + 16:at + 16 + length], at + 48 + length
        assert [crc32c(p), crc32c(head[:12])] == crcs and kind in (1, 2, 3, 4), "CRC"
        chain = hashlib.sha256(chain + head + p).digest()
        assert data[at - 32:at] == chain and (kind == 1) == (header is None) and not closing
        header = header or json.loads(p)
        steps += [commit(p, len(steps), header["job"]["population"] // 2)] if kind == 2 else []
        if kind == 4:
            step, flags, *lanes = struct.unpack_from("<IIQQ", p)
            assert step == len(steps) and len(p) == 24 + 32 * flags
            closing = {"digest": "%016x%016x" % (*lanes,), "held_out": held_out(p[24:])}
    return {"header": header, "steps": steps, "closing": closing}
def mix(v):
    v = (v ^ v >> 30) * 0xBF58476D1CE4E5B9 & MASK
    v = (v ^ v >> 27) * 0x94D049BB133111EB & MASK
    return v ^ v >> 31
def checkpoint(data):
    body = at = 8 + struct.unpack_from("<Q", data)[0]
    header, weights, tensors, a, b = json.loads(data[8:body]), b"", [], 0, 0
    meta = header.pop("__metadata__")
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        assert (entry["dtype"], body + entry["data_offsets"][0]) == ("I8", at), name
        raw = data[at:(at := body + entry["data_offsets"][1])]
        weights += raw + bytes(-len(raw) % 8)
        tensors += [{"name": name, "shape": entry["shape"], "bytes": raw.hex()}]
    for i, (word,) in enumerate(struct.iter_unpack("<Q", weights), 1):
        a += mix(word ^ mix(i * 0x9E3779B97F4A7C15 & MASK))
        b += mix(word + mix(i * 0xC2B2AE3D27D4EB4F & MASK) & MASK)
    seal = "".join(meta[k] + "\n" for k in ("format", "contract", "step", "digest", "job"))
    assert hashlib.sha256(seal.encode()).hexdigest() == meta["sha256"] and body % 8 == 0
    assert at == len(data) and "%016x%016x" % (a & MASK, b & MASK) == meta["digest"]
    return {"step": int(meta["step"]), "digest": meta["digest"], "tensors": tensors}
run = pathlib.Path(sys.argv[1])
print(json.dumps({"journal": journal((run / "journal.hatchery").read_bytes()), "checkpoints": [
    checkpoint(path.read_bytes()) for path in sorted(run.glob("checkpoints/*.safetensors"))]}))
