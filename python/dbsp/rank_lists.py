# SPDX-License-Identifier: Apache-2.0
"""The buffers of one rank as numbers: which vector goes where in every round and attention call.

A vector is one token of one head: head_dim elements. Every buffer is a matrix of vectors.

  home     [3, local tokens, heads]: Q, K and V of the tokens that the rank holds
  out      [local tokens, heads]: O of these tokens
  blocks   Q of the rows that the rank computes, call by call: [heads, tokens of the rows]; then K
           and V of the first ring step, or of every chunk, call by call: [heads, tokens of the
           columns] of K, then of V. The later steps of a ring have buffers with K and V alone
  o        O of the rows, in the order of Q
  staging  what a rank holds between the two rounds of family dbsp, in the order of arrival

Pure NumPy. dbsp.torch_runtime runs these lists; a test runs them for all ranks in one process.
"""

from collections import namedtuple

import numpy as np

from .exchange import K, O, Q, V

Call = namedtuple("Call", "heads rows columns q kv q_tokens k_tokens")
Call.__doc__ = """One attention call: heads with the same rows and columns.

heads     [heads] numbers in the layer
rows      [rows] query blocks
columns   [columns] key blocks that are present
q         (begin, vectors per head) in blocks and o
kv        (begin, vectors per head) of K in the K/V of the step; V follows the K of all heads
q_tokens  [rows] tokens of each row
k_tokens  [columns] tokens of each column
"""
Transfer = namedtuple("Transfer", "source target send send_counts receive receive_counts")
Transfer.__doc__ = """One all-to-all of one rank.

source, target  names of the buffers that the round reads and writes
send            [vectors] indices in `source`, by receiver
send_counts     [ranks] vectors to each rank; own vectors included
receive         [vectors] indices in `target`, by sender
receive_counts  [ranks]
"""


class RankLists:
    """Lists of one rank for one cell.

    schedule      dbsp.exchange.Schedule of the cell
    rank          number in the pass group
    calls         [steps][calls] Call. With chunks, step c is chunk c
    before        [rounds] Transfer of Q, K and V
    after         [rounds] Transfer of O
    q_vectors     vectors of Q in blocks, and of o
    kv_vectors    [steps] vectors of K and V
    kv_begin      [steps] where they begin: in blocks, or 0 in the buffer of a later ring step
    block_vectors vectors of blocks
    hop           [steps - 1] (send begin, send end, receive begin, receive end) in the K/V of the
                  step and of the next one; to ring_prev, from ring_next
    """

    def __init__(self, schedule, rank):
        self.shape = schedule.shape
        self.rank = rank
        self.ranks = schedule.ranks
        begin = schedule.home_begin
        self.first_token = int(begin[rank])
        self.local_tokens = int(begin[rank + 1] - begin[rank])
        program = schedule.rank[rank]
        self.ring_next, self.ring_prev = program.ring_next, program.ring_prev
        self._q_tokens, self._k_tokens = self.shape.q_tokens(), self.shape.k_tokens()
        ring = schedule.cell.strategy.exchange == "ring"
        self.chunked = not ring and schedule.steps > 1
        self._base = np.full((4, self.shape.heads,
                              max(self.shape.q_blocks, self.shape.k_blocks)), -1, np.int64)
        self.calls = [[] for _ in range(schedule.steps)]
        self._make_calls(self._groups(schedule, program))
        self.hop = [self._hop(step, self._ring_heads(schedule))
                    for step in range(schedule.steps - 1)] if ring else []
        self.before = self._transfers(schedule.before, "home", "blocks")
        self.after = self._transfers(schedule.after, "o", "out")

    def _groups(self, schedule, program):
        """(heads, rows, columns of every step) of heads that one call can take."""
        number = np.empty(self.shape.heads, np.int64)
        for g, group in enumerate(schedule.cell.partition.groups):
            number[group.heads] = g
        found = {}
        for i, (head, rows) in enumerate(program.rows):
            columns = [step[i] for step in program.columns]
            key = (number[head], rows.tobytes(), *(cols.tobytes() for cols in columns))
            found.setdefault(key, ([], rows, columns))[0].append(head)
        return list(found.values())

    def _make_calls(self, groups):
        steps = len(self.calls)
        self.kv_vectors = [sum(2 * len(heads) * int(self._k_tokens[columns[step]].sum())
                               for heads, _, columns in groups) for step in range(steps)]
        self.q_vectors = sum(len(heads) * int(self._q_tokens[rows].sum())
                             for heads, rows, _ in groups)
        in_blocks = self.kv_vectors if self.chunked else self.kv_vectors[:1]
        self.block_vectors = self.q_vectors + sum(in_blocks)
        self.kv_begin = [self.q_vectors + sum(in_blocks[:step]) if step < len(in_blocks) else 0
                         for step in range(steps)]
        q_begin, kv_begin = 0, [0] * steps
        for heads, rows, columns in groups:
            heads = np.array(heads)
            q_each = int(self._q_tokens[rows].sum())
            for tensor in (Q, O):
                self._place(tensor, heads, rows, self._q_tokens, q_begin)
            for step, cols in enumerate(columns):
                each = int(self._k_tokens[cols].sum())
                self.calls[step].append(Call(heads, rows, cols, (q_begin, q_each),
                                             (kv_begin[step], each), self._q_tokens[rows],
                                             self._k_tokens[cols]))
                if len(cols) and (self.chunked or step == 0):
                    begin = self.kv_begin[step] + kv_begin[step]
                    for tensor in (K, V):
                        self._place(tensor, heads, cols, self._k_tokens,
                                    begin + (tensor == V) * len(heads) * each)
                kv_begin[step] += 2 * len(heads) * each
            q_begin += len(heads) * q_each

    def _place(self, tensor, heads, blocks, tokens, begin):
        sizes = tokens[blocks]
        inside = np.concatenate([[0], np.cumsum(sizes)])
        self._base[tensor][np.ix_(heads, blocks)] = (
            begin + np.arange(len(heads))[:, None] * inside[-1] + inside[:-1])

    def _ring_heads(self, schedule):
        """Heads whose K and V travel: those of the rank's ring, unlike those of a single rank."""
        groups = schedule.cell.partition.groups
        rings = [group for group in groups if len(group.ranks) > 1 and self.rank in group.ranks]
        return {head for group in rings for head in group.heads.tolist()}

    def _hop(self, step, ring_heads):
        """The ring's part of the K/V: one call, because all its heads have the same blocks."""
        spans = []
        for at in (step, step + 1):
            call = next((call for call in self.calls[at] if int(call.heads[0]) in ring_heads), None)
            begin, each = call.kv if call else (0, 0)
            spans += [begin, begin + (2 * each * len(call.heads) if call else 0)]
        return tuple(spans)

    def _transfers(self, rounds, source, target):
        found = []
        staging = None
        for i, one in enumerate(rounds):
            last = self.chunked or i + 1 == len(rounds)
            first = self.chunked or i == 0
            mine = one.src == self.rank
            theirs = one.dst == self.rank
            sizes = one.tokens()
            arrival = np.concatenate([[0], np.cumsum(sizes[theirs])])
            send = self._vectors(one, mine, sizes, source if first else "staging", staging)
            if last:
                receive = self._vectors(one, theirs, sizes, target, None)
            else:
                receive = np.arange(arrival[-1])
                staging = np.full_like(self._base, -1)
                staging[one.tensor[theirs], one.head[theirs], one.block[theirs]] = arrival[:-1]
            found.append(Transfer(
                source if first else "staging", target if last else "staging", send,
                np.bincount(one.dst[mine], sizes[mine], self.ranks).astype(np.int64), receive,
                np.bincount(one.src[theirs], sizes[theirs], self.ranks).astype(np.int64)))
        return found

    def _vectors(self, one, at, sizes, buffer, staging):
        """Indices of the vectors of a round's blocks in a buffer, in the order of the round."""
        tensor, head, block, tokens = one.tensor[at], one.head[at], one.block[at], sizes[at]
        if buffer in ("home", "out"):
            size = np.where((tensor == Q) | (tensor == O), self.shape.block_q, self.shape.block_k)
            token = block * size - self.first_token
            row = np.where(tensor == O, 0, tensor) * self.local_tokens + token
            base, stride = row * self.shape.heads + head, self.shape.heads
        else:
            where = staging if buffer == "staging" else self._base
            base, stride = where[tensor, head, block], 1
        if len(base) and base.min() < 0:
            raise AssertionError(f"rank {self.rank} has no place for a block of a round")
        begin = np.cumsum(tokens) - tokens
        inside = np.arange(tokens.sum()) - np.repeat(begin, tokens)
        return np.repeat(base, tokens) + inside * stride
