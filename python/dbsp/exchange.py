# SPDX-License-Identifier: Apache-2.0
"""What every rank sends and computes in one cell: the lists of planner/timeline/schedule.h."""

from collections import namedtuple

import numpy as np

from ._input import Error

BYTES_OF = {"f32": 4, "bf16": 2}
Q, K, V, O = range(4)  # noqa: E741  (the tensors of attention)

HeadRows = namedtuple("HeadRows", "head rows")
HeadRows.__doc__ = "Query blocks of one head that a rank computes, ascending."


class Round:
    """One all-to-all: blocks (tensor, head, block) from every rank to every rank.

    src, dst, tensor, head, block  [blocks] arrays, sorted by these five in this order. A sender
                                   packs and a receiver unpacks in this order. Entries with src ==
                                   dst are local copies
    """

    def __init__(self, shape, dtype, ranks, parts):
        self._shape = shape
        self._dtype = dtype
        self.ranks = ranks
        columns = (np.concatenate([part[i] for part in parts] or [np.zeros(0, np.int64)])
                   for i in range(5))
        self.src, self.dst, self.tensor, self.head, self.block = columns
        order = np.lexsort((self.block, self.head, self.tensor, self.dst, self.src))
        for name in ("src", "dst", "tensor", "head", "block"):
            setattr(self, name, getattr(self, name)[order])

    def tokens(self):
        """shape  [blocks] tokens of each block"""
        of_rows = np.isin(self.tensor, (Q, O))
        size = np.where(of_rows, self._shape.block_q, self._shape.block_k)
        return np.minimum(self._shape.tokens - self.block * size, size)

    def blocks(self):
        """shape  [src, dst] number of blocks"""
        return self._sum(np.ones(len(self.src), np.int64))

    def bytes(self):
        """shape  [src, dst] bytes in the plan's element type; the diagonal holds local copies"""
        return self._sum(self.tokens()) * self._shape.head_dim * BYTES_OF[self._dtype]

    def items(self, src, dst):
        """The blocks of one pair of ranks. shape [blocks, 3] of (tensor, head, block)"""
        at = (self.src == src) & (self.dst == dst)
        return np.stack([self.tensor[at], self.head[at], self.block[at]], axis=1)

    def _sum(self, values):
        total = np.zeros((self.ranks, self.ranks), np.int64)
        np.add.at(total, (self.src, self.dst), values)
        return total


class RankProgram:
    """What one rank computes.

    rows       [heads] HeadRows, by head
    columns    [steps][heads] ascending key blocks that are present, in the order of `rows`
    ring_next  the rank that sends it K and V at every hop, -1 without a ring
    ring_prev  the rank that receives its K and V
    """

    def __init__(self, steps):
        self.rows = []
        self.columns = [[] for _ in range(steps)]
        self.ring_next = -1
        self.ring_prev = -1

    def add(self, head, rows, columns):
        self.rows.append(HeadRows(head, rows))
        for step, cols in zip(self.columns, columns):
            step.append(cols)

    def sort(self):
        order = sorted(range(len(self.rows)), key=lambda i: self.rows[i].head)
        self.rows = [self.rows[i] for i in order]
        self.columns = [[step[i] for i in order] for step in self.columns]


class Schedule:
    """The lists of one cell.

    before   rounds that bring Q, K and V to the ranks that compute. With chunks, round c brings
             chunk c
    after    rounds that return O
    rank     [ranks] RankProgram
    """

    def __init__(self, cell, masks=None):
        self.cell = cell
        self.shape = cell.plan.shape
        self.ranks = cell.ranks
        self.steps = cell.steps
        strategy = cell.strategy
        if strategy.exchange == "needed" and masks is None:
            raise Error(f"{cell.name}: exchange needed sends what the masks use; give the masks")
        self._masks = None if masks is None else cell.plan.checked_masks(masks)
        self.home_begin = self.shape.home_begin(self.ranks)
        self._home_q = self._home(self.shape.q_blocks, self.shape.block_q)
        self._home_k = self._home(self.shape.k_blocks, self.shape.block_k)
        self._two_rounds = (strategy.family == "dbsp" and strategy.exchange == "ring"
                            and strategy.ulysses_degree > 1 and strategy.ring_degree > 1)
        rounds = 2 if self._two_rounds else strategy.chunks
        self._parts = [[[] for _ in range(rounds)] for _ in range(2)]
        self.rank = [RankProgram(self.steps) for _ in range(self.ranks)]
        for number, group in enumerate(cell.partition.groups):
            if strategy.exchange == "ring" and len(group.ranks) > 1:
                for i, rank in enumerate(group.ranks):
                    self.rank[rank].ring_next = int(group.ranks[(i + 1) % len(group.ranks)])
                    self.rank[rank].ring_prev = int(group.ranks[i - 1])
            if self._two_rounds:
                self._check_grid(number, group)
            for head in group.heads.tolist():
                self._add(number, group, head)
        for program in self.rank:
            program.sort()
        self.before, self.after = ([Round(self.shape, cell.plan.dtype, self.ranks, parts)
                                    for parts in side] for side in self._parts)
        del self._parts

    def _check_grid(self, number, group):
        strategy = self.cell.strategy
        if group.ranks.tolist() != [i * strategy.ulysses_degree + number
                                    for i in range(strategy.ring_degree)]:
            raise Error(f"{self.cell.name}: key "
                        f"'partitions[{strategy.partition}].groups[{number}]': ranks "
                        f"{group.ranks.tolist()}, expected ring index * "
                        f"{strategy.ulysses_degree} + group for family dbsp")

    def _home(self, blocks, size):
        first = np.arange(blocks, dtype=np.int64) * size
        return np.searchsorted(self.home_begin, first, side="right") - 1

    def _arriving(self, group, head):
        """[ring] ascending key blocks that each ring index has before attention."""
        exchange, ring = self.cell.strategy.exchange, len(group.ranks)
        every = np.arange(self.shape.k_blocks)
        if exchange == "needed":
            owner = group.row_owner if ring > 1 else np.zeros(self.shape.q_blocks, int)
            return [np.flatnonzero(self._masks[head][owner == i].any(axis=0)) for i in range(ring)]
        if exchange == "allgather" or ring == 1:
            return [every] * ring
        return [np.flatnonzero(group.col_owner == i) for i in range(ring)]

    def _add(self, number, group, head):
        chunk = int(self.cell.partition.chunk_of_head[head]) if self.cell.strategy.chunks > 1 else 0
        ring = len(group.ranks)
        blocks = np.arange(self.shape.q_blocks)
        owner = group.row_owner if ring > 1 else np.zeros(len(blocks), int)
        rank_of_row = group.ranks[owner]
        self._send(0, chunk, number, Q, head, blocks, self._home_q, rank_of_row)
        self._send(1, chunk, number, O, head, blocks, rank_of_row, self._home_q)
        arriving = self._arriving(group, head)
        for index, cols in enumerate(arriving):
            to = np.full(len(cols), group.ranks[index])
            for tensor in (K, V):
                self._send(0, chunk, number, tensor, head, cols, self._home_k[cols], to)
        none = np.zeros(0, np.int64)
        for index, rank in enumerate(group.ranks):
            rows = np.flatnonzero(owner == index)
            if self.cell.strategy.exchange == "ring" and self.steps > 1:
                columns = [arriving[(index + t) % ring] if t < ring else none
                           for t in range(self.steps)]
            elif not len(rows) and not len(arriving[index]):
                continue
            else:
                columns = [arriving[index] if t == chunk else none for t in range(self.steps)]
            self.rank[rank].add(head, rows, columns)

    def _send(self, side, chunk, number, tensor, head, blocks, src, dst):
        """Adds blocks to the round of their chunk, or to both rounds of family dbsp."""
        same = [np.full(len(blocks), value) for value in (tensor, head)]
        if not self._two_rounds:
            self._parts[side][chunk].append((src, dst, *same, blocks))
            return
        ulysses = self.cell.strategy.ulysses_degree
        middle = (src if side == 0 else dst) // ulysses * ulysses + number
        self._parts[side][0].append((src, middle, *same, blocks))
        self._parts[side][1].append((middle, dst, *same, blocks))

    def hop_bytes(self):
        """shape  [steps - 1, ranks] bytes of K and V that each rank receives for the next step"""
        if self.cell.strategy.exchange != "ring":
            return np.zeros((0, self.ranks), np.int64)
        tokens = self.shape.k_tokens()
        each = 2 * self.shape.head_dim * BYTES_OF[self.cell.plan.dtype]
        return np.array([[each * sum(int(tokens[cols].sum()) for cols in program.columns[step])
                          for program in self.rank]
                         for step in range(1, self.steps)], np.int64).reshape(-1, self.ranks)
