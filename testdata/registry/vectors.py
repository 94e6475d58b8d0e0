#!/usr/bin/env python3
"""Works out the test vectors of the registry's formats, apart from the Go code.

    python3 vectors.py        writes slots.json, octets.json, boxes.json, entries.json, map.json, buckets.json, deltas.json and records.json beside itself

It follows the text of the formats word by word and takes no shortcut. Everything is deterministic: a second run writes the same
files. Needs Python 3.9 and the package "cryptography" (AES-GCM and P-256). 32-byte values are base64url, longer octets hex.
"""

import base64
import hashlib
import hmac
import json
import os
import struct

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

HERE = os.path.dirname(os.path.abspath(__file__))


def H(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def b64(b):
    return base64.urlsafe_b64encode(b).rstrip(b"=").decode()


def u16(n):
    return struct.pack(">H", n)


def u32(n):
    return struct.pack(">I", n)


def u64(n):
    return struct.pack(">Q", n)


def write(name, value):
    with open(os.path.join(HERE, name), "w", encoding="utf-8") as f:
        json.dump(value, f, indent=1, ensure_ascii=False)
        f.write("\n")


# Slots


def slot_secret(period_secret, j):
    return hmac.new(period_secret, b"akashi/slot/v1" + u16(j), hashlib.sha256).digest()


def find(s):
    return H(b"akashi/find/v1", s)


def key_of(writer, x):
    return H(b"akashi/key/v1", H(writer.encode()), x)


def hkdf(secret, salt, info, length):
    """RFC 5869."""
    prk = hmac.new(salt, secret, hashlib.sha256).digest()
    out, block, n = b"", b"", 1
    while len(out) < length:
        block = hmac.new(prk, block + info + bytes([n]), hashlib.sha256).digest()
        out, n = out + block, n + 1
    return out[:length]


def seal_key(s, k):
    return hkdf(s, k, b"akashi/seal/v1", 32)


def slots():
    period = H(b"vector period secret")
    rungs = []
    for j in (0, 1, 2, 31, 63):
        s = slot_secret(period, j)
        keys = []
        for writer in ("1010401089234", "bank", "authority", "19登-000001"):
            k = key_of(writer, find(s))
            keys.append({"writer": writer, "key": b64(k), "seal": seal_key(s, k).hex()})
        rungs.append({"j": j, "secret": b64(s), "find": b64(find(s)), "keys": keys})
    contract = H(b"vector contract document")
    engagements = []
    for n in (0, 1, 63):
        s = hmac.new(contract, b"akashi/engagement/v1" + u16(n), hashlib.sha256).digest()
        engagements.append({"n": n, "secret": b64(s), "find": b64(find(s)), "key": b64(key_of("1010401089234", find(s)))})
    jwt = "eyJhbGciOiJFUzI1NiJ9.eyJ2Y3QiOiJ1cm46YWthc2hpOndvcmtlci1zdGF0ZW1lbnQ6MSJ9.c2lnbmF0dXJl"
    s = H(b"akashi/statement/v1", jwt.encode())
    write("slots.json", {
        "period_secret": b64(period),
        "rungs": rungs,
        "contract_hash": b64(contract),
        "contract_writer": "1010401089234",
        "engagements": engagements,
        "statement": {"jwt": jwt, "secret": b64(s), "find": b64(find(s)), "key": b64(key_of("worker", find(s)))},
    })


# Boxes


def pad(content, size):
    assert 4 + len(content) <= size
    return u32(len(content)) + content + bytes(size - 4 - len(content))


def seal_a(s, k, nonce, plain):
    return nonce + AESGCM(seal_key(s, k)).encrypt(nonce, plain, k)


def value_of(a, b):
    return H(b"akashi/value/v1", H(a), H(b))


def concat_kdf(z, alg, apu, apv, bits):
    """RFC 7518, Section 4.6.2, for one round of SHA-256."""
    lp = lambda b: u32(len(b)) + b
    return H(u32(1), z, lp(alg), lp(apu), lp(apv), u32(bits))


def jwk_of(public):
    n = public.public_numbers()
    return {"kty": "EC", "crv": "P-256", "x": b64(n.x.to_bytes(32, "big")), "y": b64(n.y.to_bytes(32, "big"))}


def seal_b(to, ephemeral, iv, k, plain):
    """RFC 7516 compact, ECDH-ES direct key agreement with A256GCM."""
    header = {"alg": "ECDH-ES", "enc": "A256GCM", "epk": jwk_of(ephemeral.public_key()), "apv": b64(k)}
    protected = b64(json.dumps(header, separators=(",", ":")).encode())
    cek = concat_kdf(ephemeral.exchange(ec.ECDH(), to), b"A256GCM", b"", k, 256)
    sealed = AESGCM(cek).encrypt(iv, plain, protected.encode())
    return ".".join([protected, "", b64(iv), b64(sealed[:-16]), b64(sealed[-16:])]).encode()


def private(label):
    return ec.derive_private_key(int.from_bytes(H(label), "big") >> 8, ec.SECP256R1())


def content_of(length):
    """Text of that length in the alphabet of a JWT."""
    return (b"eyJhbGciOiJFUzI1NiJ9.vector." * (length // 28 + 1))[:length]


def boxes():
    s = slot_secret(H(b"vector period secret"), 0)
    k = key_of("bank", find(s))
    nonce = H(b"vector nonce")[:12]
    a, fits = [], (4096, 8192, 16384, 32768)
    for length in (0, 1, 700, 4092, 4093, 8188, 8189, 16380, 16381, 32764):
        size = next(f for f in fits if 4 + length <= f)
        box = seal_a(s, k, nonce, pad(content_of(length), size))
        a.append({"length": length, "size": size, "box_size": len(box), "box_hash": b64(H(box)),
                  "box": box.hex() if length == 700 else ""})
    text = content_of(700)
    spoiled = bytearray(pad(text, 4096))
    spoiled[-1] = 1
    just_after = bytearray(pad(text, 4096))
    just_after[4 + len(text)] = 0xFF
    refused = [
        ("last byte is not zero", bytes(spoiled)),
        ("byte after the content is not zero", bytes(just_after)),
        ("a class too large", pad(text, 8192)),
        ("says more than there is", u32(4093) + bytes(4092)),
        ("says 2^32-1 bytes", u32(0xFFFFFFFF) + bytes(4092)),
        ("no class: 4095", pad(text, 4095)),
        ("no content at all", b""),
    ]
    a_refused = [{"why": why, "box": seal_a(s, k, nonce, plain).hex()} for why, plain in refused]
    a_refused.append({"why": "associated data is another key",
                      "box": (nonce + AESGCM(seal_key(s, k)).encrypt(nonce, pad(text, 4096), bytes(32))).hex()})

    to, ephemeral, iv = private(b"vector delivery key"), private(b"vector ephemeral key"), H(b"vector iv")[:12]
    disclosures = [b64(b'["c2FsdA","amount",251000]'), b64('["c2FsdDI","payer_name","アカシ"]'.encode())]
    b = seal_b(to.public_key(), ephemeral, iv, k, pad("~".join(disclosures).encode(), 2048))
    none = seal_b(to.public_key(), ephemeral, iv, k, pad(b"", 2048))
    fill = [content.decode().replace(".", "_") for content in (content_of(2044), content_of(2045), content_of(4092), content_of(4093))]
    filled = [seal_b(to.public_key(), ephemeral, iv, k, pad(d.encode(), size)).decode() for d, size in zip(fill, (2048, 4096, 4096, 8192))]
    box_a = bytes.fromhex(a[2]["box"])
    d = to.private_numbers().private_value.to_bytes(32, "big")
    write("boxes.json", {
        "secret": b64(s), "key": b64(k), "nonce": nonce.hex(), "a": a, "a_refused": a_refused,
        "delivery_jwk": {**jwk_of(to.public_key()), "d": b64(d)},
        "b": [{"disclosures": disclosures, "box": b.decode()}, {"disclosures": [], "box": none.decode()}]
             + [{"disclosures": [d], "box": box} for d, box in zip(fill, filled)],
        "b_refused": [
            {"why": "a class too large", "box": seal_b(to.public_key(), ephemeral, iv, k, pad(b"", 4096)).decode()},
            {"why": "padding is not zero", "box": seal_b(to.public_key(), ephemeral, iv, k, u32(0) + b"\1" * 2044).decode()},
            {"why": "an empty disclosure", "box": seal_b(to.public_key(), ephemeral, iv, k, pad(b"abc~~def", 2048)).decode()},
            {"why": "apv is another key", "box": seal_b(to.public_key(), ephemeral, iv, bytes(32), pad(b"abc", 2048)).decode()},
        ],
        "values": [{"a": "", "b": "", "value": b64(value_of(b"", b""))},
                   {"a": box_a.hex(), "b": "", "value": b64(value_of(box_a, b""))},
                   {"a": box_a.hex(), "b": b.hex(), "value": b64(value_of(box_a, b))}],
        "nonces": [{"key": b64(k), "value": b64(value_of(box_a, b"")),
                    "nonce": b64(H(b"akashi/submit/v1", k, value_of(box_a, b"")))}],
    })


# Log entries


def head(h):
    b = bytes([1, 2]) + bytes(6) + u64(h["epoch"]) + u64(h["covered"]) + u64(h["map_size"]) + u64(h["unix_milli"]) + u64(h["list_n"])
    b += base64.urlsafe_b64decode(h["map_root"] + "=") + u64(h["prev_index"]) + base64.urlsafe_b64decode(h["prev_hash"] + "=")
    assert len(b) == 120
    return b


def entries():
    k, v = H(b"vector key"), H(b"vector value")
    slot = bytes([1, 1]) + bytes(6) + k + v
    lst = bytes([1, 3]) + bytes(6) + u64(7) + H(b"vector trust list")
    assert len(slot) == 72 and len(lst) == 48
    first = {"epoch": 1, "covered": 1, "map_size": 0, "unix_milli": 1761955200000, "list_n": 1, "map_root": b64(H(b"\2")),
             "prev_index": 2**64 - 1, "prev_hash": b64(bytes(32))}
    second = {"epoch": 2, "covered": 503, "map_size": 499, "unix_milli": 1761955201000, "list_n": 7, "map_root": b64(H(b"vector root")),
              "prev_index": 1, "prev_hash": b64(H(head(first)))}
    write("entries.json", {
        "slots": [{"key": b64(k), "value": b64(v), "bytes": slot.hex()}],
        "heads": [{**h, "bytes": head(h).hex()} for h in (first, second)],
        "lists": [{"n": 7, "hash": b64(H(b"vector trust list")), "bytes": lst.hex()}],
        "unknown": [b.hex() for b in (b"", slot[:-1], slot + b"\0", b"\2" + slot[1:], b"\1\4" + slot[2:], slot[:7] + b"\1" + slot[8:],
                                      b"\1\2" + slot[2:], b"\1\1" + lst[2:], head(first)[:-1], lst + b"\0", bytes(8), b"\1\1")],
    })


# Map


def bit(k, d):
    return k[d // 8] >> (7 - d % 8) & 1


def zero_padded(k, d):
    bits = [bit(k, i) if i < d else 0 for i in range(256)]
    return bytes(sum(bits[8 * n + i] << (7 - i) for i in range(8)) for n in range(32))


def leaf(m):
    k, i, v = m
    return H(b"\0", k, u64(i), v)


def inner(d, prefix, left, right):
    return H(b"\1", bytes([d]), prefix, left, right)


def split(members):
    """Returns the depth at which the members' keys part, and both sides."""
    d = 0
    while all(bit(m[0], d) == bit(members[0][0], d) for m in members):
        d += 1
    return d, [m for m in members if not bit(m[0], d)], [m for m in members if bit(m[0], d)]


def root(members):
    if not members:
        return H(b"\2")
    if len(members) == 1:
        return leaf(members[0])
    d, zero, one = split(members)
    return inner(d, zero_padded(members[0][0], d), root(zero), root(one))


def prove(members, k):
    """Returns the kind and the bytes of the proof for k."""
    if not members:
        return 0, b"\0\0"
    depths, siblings = [], []
    while True:
        if len(members) == 1:
            other, i, v = members[0]
            kind, end = (1, u64(i) + v) if other == k else (2, other + u64(i) + v)
            break
        d, zero, one = split(members)
        if zero_padded(members[0][0], d) != zero_padded(k, d):
            kind, end = 3, bytes([d]) + zero_padded(members[0][0], d) + root(zero) + root(one)
            break
        depths.append(d)
        siblings.append(root(zero if bit(k, d) else one))
        members = one if bit(k, d) else zero
    bitmap = bytearray(32)
    for d in depths:
        bitmap[d // 8] |= 0x80 >> d % 8
    bitmap = bytes(bitmap).rstrip(b"\0")
    return kind, bytes([kind, len(bitmap)]) + bitmap + b"".join(siblings) + end


def numbered(n):
    return H(b"vector key ", u32(n)), n, H(b"vector value ", u32(n))


def flipped(*depths):
    k = bytearray(32)
    for d in depths:
        k[d // 8] ^= 0x80 >> d % 8
    return bytes(k)


def spelled(m):
    return {"key": b64(m[0]), "index": m[1], "value": b64(m[2])}


def proof_of(members, k):
    kind, proof = prove(members, k)
    return {"key": b64(k), "kind": kind, "proof": proof.hex()}


def map_():
    sizes = (0, 1, 2, 3, 4, 5, 17, 64, 255, 300)
    numbered_sets = []
    for n in sizes:
        members = [numbered(i) for i in range(n)]
        asked = [numbered(i)[0] for i in (0, 1, 2, 16, 63, 100, 299, 1000, 1001, 1002, 1003)] + [bytes(32), b"\xff" * 32]
        numbered_sets.append({"size": n, "root": b64(root(members)), "proofs": [proof_of(members, k) for k in asked]})
    members = odd_members()
    odd = [m[0] for m in members]
    asked = odd + [flipped(253), flipped(254, 255), flipped(1), flipped(0, 1), flipped(0, 7, 8), flipped(127), flipped(127, 128), flipped(64),
                   flipped(64, 65), flipped(127, 200, 255), b"\xff" * 32]
    ex = numbered(5)
    write("map.json", {
        "empty": b64(H(b"\2")),
        "leaf": {**spelled(ex), "hash": b64(leaf(ex))},
        "inner": [{"depth": d, "key": b64(ex[0]), "prefix": b64(zero_padded(ex[0], d)), "left": b64(H(b"left")), "right": b64(H(b"right")),
                   "hash": b64(inner(d, zero_padded(ex[0], d), H(b"left"), H(b"right")))} for d in (0, 1, 7, 8, 9, 127, 248, 255)],
        "numbered": "K = H('vector key ' || uint32 n), i = n, V = H('vector value ' || uint32 n), n = 0 ... size-1",
        "numbered_sets": numbered_sets,
        "odd_set": {"members": [spelled(m) for m in members], "root": b64(root(members)), "proofs": [proof_of(members, k) for k in asked]},
    })


# Buckets of the map


def bucket(members, prefix, bits):
    """Returns the octets of the bucket of all keys that begin with the first bits bits of prefix."""
    prefix = zero_padded(prefix, bits)
    inside = sorted(m for m in members if zero_padded(m[0], bits) == prefix)
    depths, siblings, rest = [], [], members
    while rest != inside and len(rest) > 1:
        d, zero, one = split(rest)
        if d >= bits or zero_padded(rest[0][0], d) != zero_padded(prefix, d):
            break
        depths.append(d)
        siblings.append(root(zero if bit(prefix, d) else one))
        rest = one if bit(prefix, d) else zero
    bitmap = bytearray(32)
    for d in depths:
        bitmap[d // 8] |= 0x80 >> d % 8
    bitmap = bytes(bitmap).rstrip(b"\0")
    way = bytes([len(bitmap)]) + bitmap + b"".join(siblings)
    if inside:
        assert sorted(rest) == inside
    elif not rest:
        way = b"\0" + way
    elif len(rest) == 1:
        way = b"\2" + way + rest[0][0] + u64(rest[0][1]) + rest[0][2]
    else:
        d, zero, one = split(rest)
        way = b"\3" + way + bytes([d]) + zero_padded(rest[0][0], d) + root(zero) + root(one)
    return u16(bits) + prefix[:(bits + 7) // 8] + u32(len(inside)) + b"".join(k + u64(i) + v for k, i, v in inside) + way


def odd_members():
    """Keys that part late, next to each other, and at the first and the last bit."""
    keys = [flipped(), flipped(255), flipped(254), flipped(0), flipped(0, 255), flipped(0, 7), flipped(0, 8), flipped(128), flipped(127, 200),
            flipped(127, 201), flipped(64, 65, 66)]
    return [(k, 2**64 - 1 - n, H(k)) for n, k in enumerate(keys)]


def buckets():
    sets = []
    for n, ask in ((0, (0, 1, 256)), (1, (0, 1, 3, 256)), (2, (0, 1, 2, 8)), (17, (0, 2, 4, 5, 9)), (300, (4, 7, 8, 9, 16))):
        members = [numbered(i) for i in range(n)]
        asked = [(numbered(i)[0], bits) for i in (0, 5, 1000) for bits in ask]
        sets.append({"size": n, "root": b64(root(members)), "buckets": bucket_of(members, asked)})
    members = odd_members()
    asked = [(k, bits) for k in (flipped(), flipped(0), flipped(127), flipped(64), flipped(1), flipped(64, 65, 66, 67), flipped(253), b"\xff" * 32)
             for bits in (0, 1, 8, 64, 65, 66, 67, 128, 129, 254, 255, 256)]
    write("buckets.json", {
        "numbered": "members are the numbered keys of map.json, n = 0 ... size-1",
        "numbered_sets": sets,
        "odd_set": {"members": [spelled(m) for m in members], "root": b64(root(members)), "buckets": bucket_of(members, asked)},
    })


def bucket_of(members, asked):
    seen, out = set(), []
    for k, bits in asked:
        octets = bucket(members, k, bits)
        if octets not in seen:
            seen.add(octets)
            out.append({"prefix": b64(k), "bits": bits, "bucket": octets.hex()})
    return out


# Deltas of the map


def delta_node(members, keys, new, opened):
    """Returns the node over the members, cut down to the keys."""
    if not any(m[0] in keys for m in members):
        if not opened or not members:
            return b"\0" + root(members)
        if len(members) == 1:
            return b"\2" + members[0][0] + u64(members[0][1]) + members[0][2]
        d, zero, one = split(members)
        return b"\4" + bytes([d]) + zero_padded(members[0][0], d) + root(zero) + root(one)
    if len(members) == 1:
        return b"\1" if members[0] in new else b"\2" + members[0][0] + u64(members[0][1]) + members[0][2]
    d, zero, one = split(members)
    return b"\3" + bytes([d]) + delta_node(zero, keys, new, all(m in new for m in one)) + delta_node(one, keys, new, all(m in new for m in zero))


def deltas():
    out = []
    for size, more in ((0, 0), (0, 1), (0, 2), (1, 1), (2, 0), (5, 3), (64, 40), (300, 7)):
        old = [numbered(n) for n in range(size)]
        slots = []
        for n in range(more):
            slots.append(numbered(size + n))
        for n in (0, size + more - 1):  # second writes, of an old key and of a new one
            if more > 1 and size > 0:
                slots.append((numbered(n)[0], size + len(slots), H(b"second")))
        new, taken = [], {m[0] for m in old}
        for m in slots:
            if m[0] not in taken:
                new.append(m)
                taken.add(m[0])
        later = old + new
        out.append({"size": size, "slots": [spelled(m) for m in slots], "before": b64(root(old)), "after": b64(root(later)),
                    "delta": delta_node(later, {m[0] for m in slots}, new, False).hex()})
    write("deltas.json", {"numbered": "the earlier map has the numbered keys of map.json, n = 0 ... size-1", "deltas": out})


# Records of a submission


def mth(leaves):
    """RFC 6962, Section 2.1."""
    n = len(leaves)
    if n == 0:
        return H()
    if n == 1:
        return H(b"\0", leaves[0])
    k = 1
    while k * 2 < n:
        k *= 2
    return H(b"\1", mth(leaves[:k]), mth(leaves[k:]))


def path(m, leaves):
    """RFC 6962, Section 2.1.1."""
    n = len(leaves)
    if n == 1:
        return []
    k = 1
    while k * 2 < n:
        k *= 2
    if m < k:
        return path(m, leaves[:k]) + [mth(leaves[k:])]
    return path(m - k, leaves[k:]) + [mth(leaves[:k])]


def records():
    out = []
    for n in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 33, 1000):
        leaves = [H(numbered(i)[0], numbered(i)[2]) for i in range(n)]
        paths = [{"position": m, "path": [b64(h) for h in path(m, leaves)]} for m in sorted({0, n // 2, n - 1}) if 0 <= m < n]
        out.append({"count": n, "root": b64(mth(leaves)), "paths": paths})
    write("records.json", {"numbered": "record n is K, V of the numbered keys in map.json", "sets": out})


# Octets on the wire


def octets_submission(jwt, records):
    return bytes([1, 0x11]) + u16(len(records)) + u32(len(jwt)) + jwt + b"".join(
        x + u32(len(a)) + u32(len(b)) + a + b for x, a, b in records)


def octets_records(records):
    return bytes([1, 0x12]) + u16(len(records)) + b"".join(
        k + u64(i) + bytes([state]) + u32(len(a)) + u32(len(b)) + a + b for k, i, state, a, b in records)


def octets():
    k, x = H(b"vector key"), H(b"vector x")
    a, b, jwt = b"box a", b"box b", b"header.payload.signature"
    sub = octets_submission(jwt, [(x, a, b), (H(x), b"A", b"")])
    rec = octets_records([(k, 7, 1, a, b), (H(k), 2**64 - 1, 1, b"A", b""), (H(H(k)), 0, 0, b"", b""), (x, 1, 2, b"", b"")])
    one = lambda state, na, nb, boxes: octets_records([])[:2] + u16(1) + k + u64(7) + bytes([state]) + u32(na) + u32(nb) + boxes
    put = lambda na, nb: bytes([1, 0x11]) + u16(1) + u32(0) + x + u32(na) + u32(nb)
    write("octets.json", {
        "submission": {"jwt": jwt.decode(), "records": [{"x": b64(x), "a": a.hex(), "b": b.hex()}, {"x": b64(H(x)), "a": b"A".hex(), "b": ""}],
                       "bytes": sub.hex()},
        "submission_refused": [{"why": why, "bytes": v.hex()} for why, v in (
            ("nothing", b""), ("cut in the header", sub[:3]), ("cut in the JWT", sub[:12]), ("the last octet missing", sub[:-1]),
            ("an octet more", sub + b"\0"), ("another version", b"\2" + sub[1:]), ("another kind", rec), ("1,001 records", bytes([1, 0x11]) + u16(1001) + u32(0)),
            ("fewer records than it says", bytes([1, 0x11]) + u16(3) + sub[4:]), ("more records than it says", bytes([1, 0x11]) + u16(1) + sub[4:]),
            ("a JWT of 4 GiB", bytes([1, 0x11]) + u16(0) + u32(2**32 - 1)), ("A of 4 GiB", put(2**32 - 1, 0)), ("B of 4 GiB", put(0, 2**32 - 1)))],
        "records": {"records": [{"key": b64(k), "index": 7, "a": a.hex(), "b": b.hex()}, {"key": b64(H(k)), "index": 2**64 - 1, "a": b"A".hex(), "b": ""},
                                {"key": b64(H(H(k))), "index": 0, "a": "", "b": ""}, {"key": b64(x), "index": 1, "a": "", "b": "", "erased": True}],
                    "bytes": rec.hex()},
        "records_refused": [{"why": why, "bytes": v.hex()} for why, v in (
            ("nothing", b""), ("cut in the header", rec[:2]), ("the last octet missing", rec[:-1]), ("an octet more", rec + b"\0"),
            ("another version", b"\0" + rec[1:]), ("another kind", sub), ("1,001 records", bytes([1, 0x12]) + u16(1001)),
            ("held, and A is empty", one(1, 0, 5, b)), ("missing, with A", one(0, 5, 0, a)), ("missing, with B", one(0, 0, 5, b)),
            ("erased, with A", one(2, 5, 0, a)), ("an unknown state", one(3, 0, 0, b"")), ("an unknown state, with A", one(3, 5, 0, a)), ("A of 4 GiB", one(1, 2**32 - 1, 0, b"")))],
    })


if __name__ == "__main__":
    slots()
    boxes()
    entries()
    map_()
    buckets()
    deltas()
    records()
    octets()
