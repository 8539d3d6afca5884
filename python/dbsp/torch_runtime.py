# SPDX-License-Identifier: Apache-2.0
"""Runs the attention of a plan's cells on the ranks of torch.distributed.

runtime = PlanRuntime(plan, attention)
o = runtime.run(step, layer, q, k, v, masks)

Every family and exchange of a plan runs, with any backend that has all_to_all_single and batched
send and receive (NCCL, gloo). All bytes are moved as the lists of dbsp.rank_lists say. Results are
those of unsplit attention up to the order of sums. Inference only: nothing is differentiable.

Limits: one prompt at a time, as the plan's shape says. Buffers are allocated and index lists are
copied to the device at every run; a production runtime keeps both for each strategy.
"""

import numpy as np
import torch
import torch.distributed as dist

from ._input import Error
from .rank_lists import RankLists


def block_attention(q, k, v, mask, q_tokens, k_tokens):
    """Attention over the active blocks with matrix products and a softmax, in the type of q.

    q, k, v    [heads, tokens, head_dim]: the queries of the rows, the keys of the columns
    mask       bool [heads, rows, columns], on the CPU: active blocks
    q_tokens   [rows] tokens of each row, one after the other in q
    k_tokens   [columns] tokens of each column, one after the other in k and v
    returns    o [heads, tokens, head_dim]; lse [heads, tokens], the log-sum-exp of the scaled
               scores, -inf where a query has no key. A kernel without it returns None, and then no
               exchange that merges partial results can run
    """
    rows = torch.as_tensor(q_tokens, device=q.device)
    columns = torch.as_tensor(k_tokens, device=q.device)
    keep = torch.as_tensor(mask, device=q.device)
    keep = keep.repeat_interleave(rows, dim=1).repeat_interleave(columns, dim=2)
    score = torch.matmul(q, k.transpose(1, 2)) * q.shape[-1] ** -0.5
    score = score.masked_fill(~keep, float("-inf"))
    lse = torch.logsumexp(score, dim=-1)
    weight = torch.exp(score - lse.unsqueeze(-1)).masked_fill(~keep, 0)
    return torch.matmul(weight, v), lse


def pass_group(plan):
    """The process group of this rank's guidance pass, and the number of the pass.

    Collective: every rank of the default group calls it. Rank r of pass group g is rank g *
    pass_ranks + r.
    """
    if dist.get_world_size() != plan.ranks:
        raise Error(f"{plan.origin}: key 'ranks': the plan is for {plan.ranks} ranks, and "
                    f"torch.distributed has {dist.get_world_size()}")
    mine = dist.get_rank() // plan.pass_ranks
    groups = [dist.new_group(list(range(g * plan.pass_ranks, (g + 1) * plan.pass_ranks)))
              for g in range(plan.cfg_degree)]
    return groups[mine], mine


class PlanRuntime:
    """The cells of one plan on the ranks of one pass group.

    attention  called as block_attention is, once per set of heads with the same blocks
    group      process group of the pass; the default group for a plan with cfg_degree 1
    """

    def __init__(self, plan, attention=block_attention, group=None):
        ranks = dist.get_world_size(group)
        if ranks != plan.pass_ranks:
            raise Error(f"{plan.origin}: key 'ranks': a pass of the plan is for {plan.pass_ranks} "
                        f"ranks, and the process group has {ranks}; make the group with "
                        "pass_group()")
        self.plan = plan
        self.attention = attention
        self.group = group
        self.rank = dist.get_rank(group)
        begin = plan.shape.home_begin(ranks)
        self.tokens = slice(int(begin[self.rank]), int(begin[self.rank + 1]))
        self._global = [self._rank_in_world(rank) for rank in range(ranks)]
        self._prepared = {}

    def _rank_in_world(self, rank):
        if self.group is None or self.group == dist.group.WORLD:
            return rank
        get = getattr(dist, "get_global_rank", None)  # since torch 2.0
        return get(self.group, rank) if get else dist.distributed_c10d._get_global_rank(self.group,
                                                                                        rank)

    def cell(self, step, layer, counts=None):
        """The cell to run: its fallback where the contract does not hold for the heads' counts.

        counts  [heads] active blocks, the same on every rank; None runs the cell in any case
        """
        cell = self.plan.cell(step, layer)
        return cell if counts is None or cell.holds(counts) else cell.fallback()

    def lists(self, cell, masks):
        """RankLists of the cell. Kept for all strategies that do not depend on masks."""
        if cell.strategy.exchange == "needed":
            return RankLists(cell.exchanges(masks), self.rank)
        if cell.strategy not in self._prepared:
            self._prepared[cell.strategy] = RankLists(cell.exchanges(), self.rank)
        return self._prepared[cell.strategy]

    def run(self, step, layer, q, k, v, masks, counts=None):
        """Attention of one cell. Collective: every rank of the group calls it alike.

        q, k, v  [local tokens, heads, head_dim] of this rank's tokens, in the plan's order. The
                 slice `tokens` says which
        masks    bool [heads, q_blocks, k_blocks] of all ranks' tokens, in the plan's order, equal
                 on all ranks
        counts   as in cell()
        returns  o like q
        errors   Error before anything is sent, except for a kernel without log-sum-exp
        """
        masks = self.plan.checked_masks(masks)
        self._check(q, k, v)
        cell = self.cell(step, layer, counts)
        with torch.no_grad():
            return _Run(self, cell, self.lists(cell, masks), masks, q, k, v).result()

    def _check(self, q, k, v):
        shape = self.plan.shape
        expected = (self.tokens.stop - self.tokens.start, shape.heads, shape.head_dim)
        for name, tensor in (("q", q), ("k", k), ("v", v)):
            if tuple(tensor.shape) != expected or tensor.dtype != q.dtype:
                raise Error(f"{name}: shape {tuple(tensor.shape)} of {tensor.dtype}, expected "
                            f"{expected} [local tokens, heads, head_dim] of {q.dtype}")


class _Run:
    """One cell on one rank: pack, exchange, unpack; attention beside a transfer; and back."""

    def __init__(self, runtime, cell, lists, masks, q, k, v):
        self.runtime, self.cell, self.lists, self.masks = runtime, cell, lists, masks
        self.like = q
        dim = q.shape[-1]
        self.buffers = {"home": torch.stack([q, k, v]).reshape(-1, dim),
                        "out": self._empty(q.shape[0] * q.shape[1]),
                        "blocks": self._empty(lists.block_vectors)}
        # Partial results of a ring are summed in fp32.
        exact = {"dtype": torch.promote_types(q.dtype, torch.float32), "device": q.device}
        self.o = torch.zeros(lists.q_vectors, dim, **exact)
        self.lse = torch.full((lists.q_vectors,), float("-inf"), **exact)

    def _empty(self, vectors):
        return torch.empty(vectors, self.like.shape[-1], dtype=self.like.dtype,
                           device=self.like.device)

    def result(self):
        (self._chunks if self.lists.chunked else self._steps)()
        return self.buffers["out"].reshape(self.like.shape)

    def _chunks(self):
        """The exchange of a chunk runs during the attention of the one before."""
        arriving = self._send(self.lists.before[0])
        leaving = []
        for chunk, after in enumerate(self.lists.after):
            current = arriving
            if chunk + 1 < len(self.lists.before):
                arriving = self._send(self.lists.before[chunk + 1])
            self._receive(*current)
            self._attend(chunk, self._first_kv(chunk))
            self.buffers["o"] = self.o.to(self.like.dtype)
            leaving.append(self._send(after))
        for sent in leaving:
            self._receive(*sent)

    def _steps(self):
        """Rounds, then ring steps. The hop of a step runs during its attention."""
        for transfer in self.lists.before:
            self._receive(*self._send(transfer))
        kv = self._first_kv(0)
        for step in range(len(self.lists.calls)):
            works, arrived = self._hop(step, kv) if step < len(self.lists.hop) else ((), None)
            try:
                self._attend(step, kv)
            finally:  # a transfer that nobody waits for would block the next one
                for work in works:
                    work.wait()
            kv = arrived
        self.buffers["o"] = self.o.to(self.like.dtype)
        for transfer in self.lists.after:
            self._receive(*self._send(transfer))

    def _first_kv(self, step):
        begin = self.lists.kv_begin[step]
        return self.buffers["blocks"][begin:begin + self.lists.kv_vectors[step]]

    def _index(self, vectors):
        return torch.from_numpy(vectors).to(self.like.device)

    def _send(self, transfer):
        """Packs and starts the all-to-all. Bytes, because not every backend knows every type."""
        packed = self.buffers[transfer.source].index_select(0, self._index(transfer.send))
        arrived = self._empty(len(transfer.receive))
        work = dist.all_to_all_single(
            arrived.view(torch.uint8), packed.view(torch.uint8), transfer.receive_counts.tolist(),
            transfer.send_counts.tolist(), group=self.runtime.group, async_op=True)
        return work, transfer, arrived, packed

    def _receive(self, work, transfer, arrived, _packed):
        work.wait()
        if transfer.target == "staging":
            self.buffers["staging"] = arrived
            return
        self.buffers[transfer.target].index_copy_(0, self._index(transfer.receive), arrived)

    def _hop(self, step, kv):
        """Starts the hop of K and V; returns its works and the buffer of the next step."""
        send_begin, send_end, begin, end = self.lists.hop[step]
        arrived = self._empty(self.lists.kv_vectors[step + 1])
        ops = []
        if send_end > send_begin:
            ops.append(dist.P2POp(dist.isend, kv[send_begin:send_end].view(torch.uint8),
                                  self.runtime._global[self.lists.ring_prev], self.runtime.group))
        if end > begin:
            ops.append(dist.P2POp(dist.irecv, arrived[begin:end].view(torch.uint8),
                                  self.runtime._global[self.lists.ring_next], self.runtime.group))
        return dist.batch_isend_irecv(ops) if ops else [], arrived

    def _attend(self, step, kv):
        dim = self.like.shape[-1]
        for call in self.lists.calls[step]:
            heads, (q_begin, q_each), (k_begin, k_each) = len(call.heads), call.q, call.kv
            if not q_each or not k_each:
                continue
            rows = slice(q_begin, q_begin + heads * q_each)
            keys = kv[k_begin:k_begin + 2 * heads * k_each].reshape(2, heads, k_each, dim)
            mask = torch.from_numpy(np.ascontiguousarray(
                self.masks[call.heads][:, call.rows][:, :, call.columns]))
            o, lse = self.runtime.attention(
                self.buffers["blocks"][rows].reshape(heads, q_each, dim), keys[0], keys[1], mask,
                call.q_tokens, call.k_tokens)
            self._merge(rows, o.reshape(-1, dim), None if lse is None else lse.reshape(-1))

    def _merge(self, rows, o, lse):
        """Adds a partial result, weighted by its share of the softmax's denominator."""
        if self.cell.strategy.exchange != "ring" or self.cell.steps == 1:
            self.o[rows] = o.to(self.o.dtype)
            return
        if lse is None:
            raise Error(f"{self.cell.name}: exchange ring merges partial results by their "
                        "log-sum-exp, and the attention returns none; plan with exchanges "
                        "alltoall, allgather or needed")
        lse = lse.to(self.lse.dtype)
        total = torch.logaddexp(self.lse[rows], lse)
        old = torch.exp(self.lse[rows] - total).nan_to_num_(0)
        new = torch.exp(lse - total).nan_to_num_(0)
        self.o[rows] = self.o[rows] * old.unsqueeze(-1) + o * new.unsqueeze(-1)
        self.lse[rows] = total
