# SPDX-License-Identifier: Apache-2.0
"""One (step, layer) of a plan: who computes what, in which order, and while which masks hold."""

from functools import cached_property

import numpy as np

from ._input import Error
from .exchange import Schedule


class Cell:
    """How one (step, layer) runs on the ranks of a pass group."""

    def __init__(self, plan, step, layer, strategy, contract, prediction):
        self.plan = plan
        self.step = step
        self.layer = layer
        self.strategy = strategy
        self.partition = plan.partitions[strategy.partition]
        self.contract = contract
        self._prediction = prediction

    @property
    def name(self):
        return f"{self.plan.origin}: step {self.step} layer {self.layer}"

    @property
    def ranks(self):
        return self.partition.ranks

    @property
    def steps(self):
        """Ring steps, or chunks: how many times a rank calls attention."""
        if self.strategy.exchange == "ring":
            return max((len(group.ranks) for group in self.partition.groups), default=1)
        return self.strategy.chunks

    def prediction(self):
        """The prediction's JSON object (docs/formats/plan.md); None for a fallback."""
        return None if self._prediction is None else self._prediction.value

    def fallback(self):
        """The cell to run when the contract is broken and no new plan is made."""
        self._require_contract()
        strategy = self.plan.strategies[self.contract.fallback]
        return Cell(self.plan, self.step, self.layer, strategy, None, None)

    @cached_property
    def row_owner(self):
        """shape  [heads, q_blocks]: the rank that computes each row"""
        return self._owner("row_owner", self.plan.shape.q_blocks)

    @cached_property
    def col_owner(self):
        """shape  [heads, k_blocks]: the rank that holds each key block before the first ring step.

        None unless the exchange is a ring or every head is on one rank.
        """
        if self.strategy.exchange != "ring" and any(len(group.ranks) > 1
                                                    for group in self.partition.groups):
            return None
        return self._owner("col_owner", self.plan.shape.k_blocks)

    def _owner(self, which, blocks):
        owner = np.empty((self.plan.shape.heads, blocks), np.int32)
        for group in self.partition.groups:
            index = getattr(group, which) if len(group.ranks) > 1 else np.zeros(blocks, np.int32)
            owner[group.heads] = group.ranks[index]
        return owner

    def _head_groups(self):
        """[groups] ascending heads, by the number of the group: rank = ring index * U + group."""
        rings = {len(group.ranks) for group in self.partition.groups if len(group.heads)}
        ring = rings.pop() if len(rings) == 1 else 0
        ulysses = self.ranks // ring if ring else 0
        heads = [[] for _ in range(ulysses)]
        for group in self.partition.groups:
            if not len(group.heads):
                continue
            number = int(group.ranks[0])
            grid = number < ulysses and ulysses * ring == self.ranks and all(
                rank == i * ulysses + number for i, rank in enumerate(group.ranks))
            if not grid:
                raise Error(f"{self.name}: family {self.strategy.family} divides heads by rows "
                            "among different ranks, so no order of whole heads describes it; use "
                            "row_owner and exchanges(), or plan with --families "
                            "ulysses,usp,balanced")
            heads[number] += group.heads.tolist()
        return [sorted(group) for group in heads]

    def head_order(self):
        """shape  [heads]: heads group by group, so that plain Ulysses deals them as the plan does.

        errors  Error for a cell whose heads are divided among different ranks
        """
        return np.array([head for group in self._head_groups() for head in group], np.int64)

    def head_splits(self):
        """shape  [ulysses degree]: heads of each group, in the order of head_order"""
        return np.array([len(group) for group in self._head_groups()], np.int64)

    def exchanges(self, masks=None):
        """The lists of what every rank sends and computes (dbsp.exchange.Schedule).

        masks   bool [heads, q_blocks, k_blocks] in the plan's token order; only exchange `needed`
                depends on them
        errors  Error when they are missing or have another shape
        """
        return Schedule(self, masks)

    def _require_contract(self):
        if self.contract is None:
            raise Error(f"{self.name}: the cell has no contract; plan again with dbsp-tune, which "
                        "writes contracts since dbsp.plan/2")

    def load_ratio(self, counts):
        """Active blocks of the busiest rank over those of the mean rank.

        counts  [heads] active blocks. Exact for whole heads; the blocks of a split head are taken
                to lie on its ranks as they did when the plan was made
        errors  Error with exchange ring, whose steps need the masks
        """
        self._require_contract()
        counts = np.asarray(counts, np.float64)
        if counts.shape != (self.plan.shape.heads,) or not np.all(counts >= 0):
            raise Error(f"{self.name}: counts of shape {counts.shape}, expected "
                        f"{self.plan.shape.heads} numbers, one per head, none negative")
        load = np.zeros(self.ranks)
        for group in self.partition.groups:
            if len(group.col_owner):
                raise Error(f"{self.name}: counts of heads do not give the loads of a ring's "
                            "steps; give masks to holds()")
            for head in group.heads.tolist():
                share = self.contract.shares.get(head) if len(group.ranks) > 1 else np.ones(1)
                if share is None or len(share) != len(group.ranks):
                    raise Error(f"{self.name}: key 'contracts': head {head} is on "
                                f"{len(group.ranks)} ranks, expected a share of each")
                load[group.ranks] += share * counts[head]
        return float(load.max() * self.ranks / load.sum()) if load.sum() > 0 else 1.0

    def rho(self, masks):
        """rho_barrier of masks under this partition (docs/metrics.md): exact for every family.

        masks  bool [heads, q_blocks, k_blocks] in the plan's token order
        """
        masks = self.plan.checked_masks(masks)
        load = np.zeros(self.ranks)
        barrier = 0.0
        for group in self.partition.groups:
            ring = len(group.ranks)
            counts = masks[group.heads].sum(axis=0, dtype=np.int64)
            rows = np.zeros((ring, counts.shape[1]), np.int64)
            np.add.at(rows, group.row_owner if ring > 1 else np.zeros(len(counts), int), counts)
            load[group.ranks] += rows.sum(axis=1)
            if len(group.col_owner):
                parts = np.zeros((ring, ring), np.int64)
                np.add.at(parts.T, group.col_owner, rows.T)
                index = np.arange(ring)
                barrier = max(barrier, sum(parts[index, (index + t) % ring].max()
                                           for t in range(ring)))
        mean = load.sum() / self.ranks
        return float(max(barrier, load.max()) / mean) if mean > 0 else 1.0

    def holds(self, counts=None, masks=None):
        """Whether the contract holds for other masks, given as counts of heads or as masks.

        counts, masks  as in load_ratio() and rho(); exactly one of them
        """
        self._require_contract()
        if (counts is None) == (masks is None):
            raise Error(f"{self.name}: give either counts of active blocks per head or masks")
        ratio = self.load_ratio(counts) if masks is None else self.rho(masks)
        return ratio <= self.contract.rho_limit
