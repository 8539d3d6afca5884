# SPDX-License-Identifier: Apache-2.0
"""XXH3-128 of long texts with numpy: the hash by which dbsp names workloads and plans.

Source: Yann Collet, the XXH3 algorithm, https://github.com/Cyan4973/xxHash, version 0.8. Only its
rule for more than 240 bytes is here, because every plan and workload is longer.
"""

import numpy as np

SHORTEST = 241
_SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e")
_PRIME32 = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D)
_PRIME64 = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63,
            0x27D4EB2F165667C5)
_MASK = (1 << 64) - 1
_STRIPE = 64
_STRIPES = 16  # in a block
_BLOCK = _STRIPE * _STRIPES
_SWAP = [1, 0, 3, 2, 5, 4, 7, 6]


def _words(data, offset, count):
    return np.frombuffer(data, "<u8", count, offset).astype(np.uint64)


def _products(values, secret):
    """What stripes add to the accumulators. shape values [..., 8] words, secret likewise"""
    keyed = values ^ secret
    low = keyed & np.uint64(0xFFFFFFFF)
    return low * (keyed >> np.uint64(32)) + values[..., _SWAP]


def _merge(accumulators, start, offset):
    result = start
    for i in range(4):
        key = int.from_bytes(_SECRET[offset + 16 * i:offset + 16 * i + 16], "little")
        product = (accumulators[2 * i] ^ (key & _MASK)) * (accumulators[2 * i + 1] ^ (key >> 64))
        result += (product & _MASK) ^ (product >> 64)
    result &= _MASK
    result ^= result >> 37
    result = result * 0x165667919E3779F9 & _MASK
    return result ^ (result >> 32)


def xxh3_128(data):
    """The hash as 32 hexadecimal digits, the high half first.

    data    bytes, at least SHORTEST
    errors  ValueError for fewer bytes
    """
    size = len(data)
    if size < SHORTEST:
        raise ValueError(f"xxh3_128: {size} bytes, expected at least {SHORTEST}")
    secrets = np.stack([_words(_SECRET, 8 * s, 8) for s in range(_STRIPES)])
    scramble = _words(_SECRET, len(_SECRET) - _STRIPE, 8)
    accumulators = np.array([_PRIME32[2], _PRIME64[0], _PRIME64[1], _PRIME64[2], _PRIME64[3],
                             _PRIME32[1], _PRIME64[4], _PRIME32[0]], np.uint64)
    blocks = (size - 1) // _BLOCK
    piece = 1024  # blocks that are widened to words at once
    for first in range(0, blocks, piece):
        count = min(piece, blocks - first)
        values = _words(data, first * _BLOCK, count * _BLOCK // 8).reshape(count, _STRIPES, 8)
        for sums in _products(values, secrets).sum(axis=1, dtype=np.uint64):
            accumulators = accumulators + sums
            accumulators = (accumulators ^ (accumulators >> np.uint64(47)) ^ scramble) * np.uint64(
                _PRIME32[0])
    stripes = (size - 1 - blocks * _BLOCK) // _STRIPE
    if stripes:
        values = _words(data, blocks * _BLOCK, stripes * 8).reshape(stripes, 8)
        accumulators = accumulators + _products(values, secrets[:stripes]).sum(
            axis=0, dtype=np.uint64)
    last = _words(_SECRET, len(_SECRET) - _STRIPE - 7, 8)
    accumulators = accumulators + _products(_words(data, size - _STRIPE, 8), last)
    final = [int(value) for value in accumulators]
    low = _merge(final, size * _PRIME64[0] & _MASK, 11)
    high = _merge(final, ~(size * _PRIME64[1]) & _MASK, len(_SECRET) - _STRIPE - 11)
    return f"{high:016x}{low:016x}"
