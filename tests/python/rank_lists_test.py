#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""dbsp.rank_lists: all ranks of a plan in one process, without a communication library."""

import unittest

import support

support.require("numpy")
import grid_plans  # noqa: E402
import numpy as np  # noqa: E402

import dbsp  # noqa: E402
from dbsp.rank_lists import RankLists  # noqa: E402

DIM = 4


def attention(q, k, v, mask, q_tokens, k_tokens):
    """Unsplit softmax attention of some heads. shape q [heads, queries, DIM] -> o, lse"""
    keep = np.repeat(np.repeat(mask, q_tokens, axis=1), k_tokens, axis=2)
    score = np.where(keep, np.einsum("hid,hjd->hij", q, k) / DIM ** 0.5, -np.inf)
    top = score.max(axis=-1, keepdims=True, initial=-np.inf)
    weight = np.exp(score - np.where(np.isfinite(top), top, 0))
    total = weight.sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore"):
        lse = np.where(total > 0, np.log(total) + top, -np.inf)[..., 0]
    return np.einsum("hij,hjd->hid", weight / np.where(total > 0, total, 1), v), lse


def exchange(ranks, transfers, buffers):
    """Runs one round of all ranks; every vector of a target is written at most once."""
    sent = {}
    for rank in range(ranks):
        one = transfers[rank]
        data = buffers[rank][one.source][one.send]
        cuts = np.cumsum(one.send_counts)[:-1]
        for to, part in enumerate(np.split(data, cuts)):
            sent[rank, to] = part
    for rank in range(ranks):
        one = transfers[rank]
        assert len(np.unique(one.receive)) == len(one.receive)
        arrived = [sent[source, rank] for source in range(ranks)]
        assert [len(part) for part in arrived] == one.receive_counts.tolist()
        buffer = buffers[rank]
        if one.target == "staging":
            buffer["staging"] = np.full((len(one.receive), DIM), np.nan)
        buffer[one.target][one.receive] = np.concatenate(arrived)


def merge(o, lse, more, more_lse):
    with np.errstate(invalid="ignore"):
        total = np.logaddexp(lse, more_lse)
        old = np.nan_to_num(np.exp(lse - total))[..., None]
        new = np.nan_to_num(np.exp(more_lse - total))[..., None]
    return o * old + more * new, total


def compute(lists, masks, buffer, step, kv):
    for call in lists.calls[step]:
        heads, (begin, each), (k_begin, k_each) = len(call.heads), call.q, call.kv
        if not each or not k_each:
            continue
        rows = slice(begin, begin + heads * each)
        k = kv[k_begin:k_begin + heads * k_each].reshape(heads, -1, DIM)
        v = kv[k_begin + heads * k_each:k_begin + 2 * heads * k_each].reshape(heads, -1, DIM)
        mask = masks[call.heads][:, call.rows][:, :, call.columns]
        o, lse = attention(buffer["blocks"][rows].reshape(heads, each, DIM), k, v, mask,
                           call.q_tokens, call.k_tokens)
        buffer["o"][rows], buffer["lse"][rows] = merge(
            buffer["o"][rows], buffer["lse"][rows], o.reshape(-1, DIM), lse.reshape(-1))


def run(cell, masks, qkv):
    """shape  qkv [3, tokens, heads, DIM] -> o [tokens, heads, DIM]"""
    schedule = cell.exchanges(masks)
    ranks, begin = schedule.ranks, schedule.home_begin
    lists = [RankLists(schedule, rank) for rank in range(ranks)]
    buffers = [{"home": qkv[:, begin[r]:begin[r + 1]].reshape(-1, DIM),
                "out": np.full(((begin[r + 1] - begin[r]) * qkv.shape[2], DIM), np.nan),
                "blocks": np.full((one.block_vectors, DIM), np.nan),
                "o": np.zeros((one.q_vectors, DIM)), "lse": np.full(one.q_vectors, -np.inf)}
               for r, one in enumerate(lists)]
    for i in range(len(schedule.before)):
        exchange(ranks, [one.before[i] for one in lists], buffers)
    kv = [None] * ranks
    for step in range(schedule.steps):
        for r, one in enumerate(lists):
            if step == 0 or one.chunked:
                first = one.kv_begin[step]
                kv[r] = buffers[r]["blocks"][first:first + one.kv_vectors[step]]
            compute(one, masks, buffers[r], step, kv[r])
        if step < len(lists[0].hop):
            arrived = []
            for one in lists:
                new = np.full((one.kv_vectors[step + 1], DIM), np.nan)
                if one.ring_next >= 0:
                    sender = lists[one.ring_next]
                    assert sender.ring_prev == one.rank
                    new[one.hop[step][2]:one.hop[step][3]] = (
                        kv[one.ring_next][sender.hop[step][0]:sender.hop[step][1]])
                arrived.append(new)
            kv = arrived
    for i in range(len(schedule.after)):
        exchange(ranks, [one.after[i] for one in lists], buffers)
    return np.concatenate([buffer["out"] for buffer in buffers]).reshape(qkv.shape[1:])


class RankListsTest(unittest.TestCase):
    def test_every_family_and_exchange_gives_exact_attention(self):
        plans = support.Plans()
        self.addCleanup(plans.close)
        workload = plans.workload("grid", "--heads", 8, "--layers", 8, "--steps", 4, "--head-dim",
                                  4, "--tokens", 300, "--block", "16x8", "--mask", "dense")
        rng = np.random.default_rng(7)
        masks = rng.random((8, 19, 38)) < np.linspace(0.05, 0.7, 8)[:, None, None]
        masks[2] = False
        masks[5, 3:9] = False
        qkv = rng.standard_normal((3, 300, 8, DIM))
        tokens = (np.minimum(300 - np.arange(19) * 16, 16), np.minimum(300 - np.arange(38) * 8, 8))
        q, k, v = qkv.transpose(0, 2, 1, 3)
        expected = attention(q, k, v, masks, *tokens)[0].transpose(1, 0, 2)
        for ranks in (2, 4, 8):
            base = plans.plan(workload, ranks, "--families", "ulysses", "--chunks", 1)
            plan = dbsp.load(grid_plans.make(base, masks, plans.path(f"grid{ranks}.json")))
            for at in plan.cells:
                cell = plan.cell(*at)
                with self.subTest(ranks=ranks, strategy=cell.strategy):
                    found = run(cell, masks, qkv)
                    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


if __name__ == "__main__":
    support.run_tests()
