# SPDX-License-Identifier: Apache-2.0
"""Kernels in NumPy, one per mask form, and broken ones; a user's file for kernels_test.py."""

import os

import numpy as np

from dbsp.kernels import kernel


def keys_of(call, head, block):
    """Keys of a (head, query block), in any mask form."""
    row = head * call.q_blocks + block
    if call.begin is not None:
        entries = call.index[call.begin[row]:call.begin[row + 1]]
    elif call.count is not None:
        entries = call.index[head, block, :call.count[head, block]]
    else:
        entries = np.flatnonzero(call.dense[head, block])
    return entries


def attention(call, single_keys=False):
    """The launch function of a plain block attention."""
    rows = {}
    for head in range(call.heads):
        for block in range(call.q_blocks):
            entries = keys_of(call, head, block)
            if not single_keys:
                entries = [range(j * call.k_block, j * call.k_block + call.k_tokens[j])
                           for j in entries]
                entries = np.concatenate([np.array(keys, np.int64) for keys in entries]
                                         or [np.zeros(0, np.int64)])
            rows[head, block] = np.array(entries, np.int64)
    q_tokens = call.q_tokens.copy()

    def launch(q, k, v, o, lse):
        for (head, block), keys in rows.items():
            first = block * call.q_block
            own = slice(first, first + q_tokens[block])
            if not len(keys):
                o[head, own] = 0
                if lse is not None:
                    lse[head, own] = -np.inf
                continue
            scores = call.scale * (q[head, own].astype(np.float64) @ k[head, keys].T)
            most = scores.max(axis=1, keepdims=True)
            weights = np.exp(scores - most)
            total = weights.sum(axis=1, keepdims=True)
            o[head, own] = weights @ v[head, keys] / total
            if lse is not None:
                lse[head, own] = (most + np.log(total))[:, 0]
    return launch


for form in ("csr", "padded", "dense"):
    kernel(f"np.{form}", version="2", mask=form)(attention)


@kernel("np.keys", version="2", mask="keys", lse=False)
def single_keys(call):
    return attention(call, single_keys=True)


if os.environ.get("DBSP_TEST_BROKEN"):
    @kernel("bad.raise")
    def raises(call):
        def launch(q, k, v, o, lse):
            raise RuntimeError("the user's kernel\nrefuses")
        return launch

    @kernel("bad.exit")
    def exits(call):
        def launch(q, k, v, o, lse):
            os._exit(3)
        return launch

    @kernel("bad.wrong")
    def wrong(call):
        right = attention(call)

        def launch(q, k, v, o, lse):
            right(q, k, v, o, lse)
            o *= 1.01
        return launch

    @kernel("bad.prepare")
    def nothing(call):
        return None
