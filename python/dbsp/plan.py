# SPDX-License-Identifier: Apache-2.0
"""A plan of dbsp-tune in Python: which rank computes and sends what in every (step, layer).

The file's format is docs/formats/plan.md. Ranks are numbered inside a pass group, from 0 to
Plan.pass_ranks - 1, as in the file. Tokens, blocks and homes are in the order of the plan's token
layout.
"""

import math
from collections import namedtuple

import numpy as np

from ._input import Error, View, canonical_texts, has_checksums, inflate, parse, read_file
from ._xxh3 import SHORTEST, xxh3_128
from .cell import Cell
from .exchange import BYTES_OF

FAMILIES = ("ulysses", "ring", "usp", "dbsp", "balanced", "placed")
EXCHANGES = ("alltoall", "ring", "allgather", "needed")
_MAX_RANKS = _MAX_HEADS = 65536
_MAX_BLOCKS = 1 << 24
_MAX_OWNERS = 1 << 27
_MAX_INT = (1 << 31) - 1

Strategy = namedtuple("Strategy", "family cfg_degree ulysses_degree ring_degree exchange chunks "
                                  "layout partition kernel")
Group = namedtuple("Group", "heads ranks row_owner col_owner")
Group.__doc__ = """Heads that the same ranks compute.

heads      ascending
ranks      the ranks, in the order of their ring
row_owner  [q_blocks] ring index that computes the row; empty for one rank
col_owner  [k_blocks] ring index that holds the key block first; empty without a ring
"""
Partition = namedtuple("Partition", "ranks groups chunk_of_head")
Contract = namedtuple("Contract", "rho_limit fallback shares")


class Shape(namedtuple("Shape", "heads head_dim tokens block_q block_k")):
    """Attention of one layer over the whole sequence."""

    @property
    def q_blocks(self):
        return -(-self.tokens // self.block_q)

    @property
    def k_blocks(self):
        return -(-self.tokens // self.block_k)

    @property
    def unit(self):
        """Tokens that a layout moves together and a home holds together."""
        return math.lcm(self.block_q, self.block_k)

    def q_tokens(self):
        """shape  [q_blocks] tokens of each query block; the last may be short"""
        return self._tokens(self.q_blocks, self.block_q)

    def k_tokens(self):
        return self._tokens(self.k_blocks, self.block_k)

    def _tokens(self, blocks, block):
        return np.minimum(self.tokens - np.arange(blocks, dtype=np.int64) * block, block)

    def home_begin(self, ranks):
        """shape  [ranks + 1]; rank r holds tokens begin[r] to begin[r + 1] outside attention"""
        units = -(-self.tokens // self.unit)
        each = -(-units // ranks)
        return np.minimum(np.arange(ranks + 1, dtype=np.int64) * each * self.unit, self.tokens)


def load(path):
    """Reads and checks a plan file, `.json` or `.json.zst`.

    errors  Error, one line with the file and the key
    """
    origin = str(path)
    data = read_file(path)
    if origin.endswith(".zst"):
        checked = has_checksums(data)
        document = parse(inflate(path, data), origin)
    else:
        checked = True
        document = parse(data, origin)
    return Plan(View(document, origin), checked)


def _check_hash(view):
    """Compares the hash of the content and removes it. Returns whether there is one."""
    if not view.has("content_hash"):
        return False
    stored = view["content_hash"].text()
    del view.value["content_hash"]
    computed = "nothing"
    for text in canonical_texts(view.value):
        computed = xxh3_128(text) if len(text) >= SHORTEST else "nothing"
        if computed == stored:
            return True
    raise Error(f"{view.origin}: key 'content_hash': expected {computed}, the hash of the rest of "
                f"the plan, found {stored}; the file is damaged or was edited: to use an edited "
                "plan, remove the member 'content_hash'")


class Plan:
    """A plan file. Its parts are plain tuples and arrays; nothing of it may be changed."""

    def __init__(self, view, checked=True):
        second = view["schema"].text() != "dbsp.plan/1"
        view["schema"].one_of(("dbsp.plan/2", "dbsp.plan/1"))
        self.hashed = _check_hash(view)
        self.origin = view.origin
        if not self.hashed and not checked:
            raise Error(f"{view.origin}: neither the zstd data nor the plan has a checksum, so "
                        "damage would not be noticed; make the plan again with dbsp-tune, or "
                        "decompress it with 'zstd -d' and check it")
        lists = ("layouts", "partitions", "strategies", "predictions", "cells")
        view.members(("schema", "workload", "database_hash", "cluster", "device", "created_utc",
                      "generator", "costs", "ranks", "passes", "dtype", "shape") + lists
                     + (("contracts",) if second else ()),
                     ("baselines", "notes", "fits", "close_calls", "rest") if second else ())
        self._read_head(view)
        self._read_layouts(view["layouts"])
        self._read_partitions(view["partitions"], second)
        self._read_strategies(view["strategies"])
        self._contracts = [self._contract(item)
                           for item in (view["contracts"].items() if second else ())]
        self._predictions = view["predictions"].items()
        self._read_cells(view["cells"], second)

    def _read_head(self, view):
        workload = view["workload"].members(("hash", "name", "directory", "text"))
        text = workload["text"].text().encode()
        found = xxh3_128(text) if len(text) >= SHORTEST else "nothing"
        if workload["hash"].text() != found:
            workload["hash"].wrong(f"{found}, the hash of 'workload.text'")
        self.workload_name = workload["name"].text()
        self.workload_hash = found
        self.ranks = view["ranks"].integer(1, _MAX_RANKS)
        self.passes = view["passes"].integer(1, 2)
        self.dtype = view["dtype"].one_of(tuple(BYTES_OF))
        shape = view["shape"].members(("heads", "head_dim", "tokens", "block"))
        block = [item.integer(1, _MAX_INT) for item in shape["block"].items(2)]
        self.shape = Shape(shape["heads"].integer(1, _MAX_HEADS),
                           shape["head_dim"].integer(1, _MAX_INT),
                           shape["tokens"].integer(1, min(block) * _MAX_BLOCKS), *block)

    def _read_layouts(self, view):
        self.layouts = []
        units = -(-self.shape.tokens // self.shape.unit)
        for item in view.items():
            item.members(("name", "block_order"))
            order = item["block_order"].integers(0, units - 1)
            if len(order) and (len(order) != units or len(np.unique(order)) != units):
                item["block_order"].wrong(f"every unit from 0 to {units - 1} once")
            if len(order) and self.shape.tokens % self.shape.unit and order[-1] != units - 1:
                item["block_order"].wrong(f"the short last unit {units - 1} at the end")
            self.layouts.append((item["name"].text(), order))
        if not self.layouts or len(self.layouts[0][1]):
            view.wrong("the identity, with an empty block_order, as layout 0")

    def _read_partitions(self, view, chunks):
        self._budget = _MAX_OWNERS
        self.partitions = [self._partition(item, chunks) for item in view.items()]

    def _partition(self, view, chunks):
        keys = ("ranks", "heads", "q_blocks", "k_blocks", "groups")
        view.members(keys + (("chunk_of_head",) if chunks else ()))
        shape = self.shape
        for key, value in zip(keys[1:], (shape.heads, shape.q_blocks, shape.k_blocks)):
            view[key].integer(value, value)
        ranks = view["ranks"].integer(1, self.ranks)
        groups = [self._group(item, ranks) for item in view["groups"].items()]
        heads = np.concatenate([group.heads for group in groups] or [[]])
        if len(heads) != shape.heads or len(np.unique(heads)) != shape.heads:
            view["groups"].wrong(f"every head from 0 to {shape.heads - 1} in one group")
        chunk = view["chunk_of_head"].integers(0, shape.heads - 1) if chunks else np.zeros(0, int)
        if len(chunk) and (len(chunk) != shape.heads
                           or len(np.unique(chunk)) != max(2, chunk.max() + 1)):
            view["chunk_of_head"].wrong("a chunk for every head, from 0 without a gap, two or more")
        return Partition(ranks, groups, chunk)

    def _group(self, view, ranks):
        view.members(("heads", "ranks", "row_owner", "col_owner"))
        heads = np.sort(view["heads"].integers(0, self.shape.heads - 1))
        ring = view["ranks"].integers(0, ranks - 1)
        if not len(ring) or len(np.unique(ring)) != len(ring):
            view["ranks"].wrong("ranks, each once")
        rows = self._owners(view["row_owner"], len(ring), self.shape.q_blocks)
        cols = self._owners(view["col_owner"], len(ring), self.shape.k_blocks)
        if len(rows) != (self.shape.q_blocks if len(ring) > 1 else 0):
            view["row_owner"].wrong(f"an owner for each of {self.shape.q_blocks} rows"
                                    if len(ring) > 1 else "no owners for a single rank")
        if len(cols) not in ((0, self.shape.k_blocks) if len(ring) > 1 else (0,)):
            view["col_owner"].wrong(f"an owner for each of {self.shape.k_blocks} columns, or none")
        return Group(heads, ring, rows, cols)

    def _owners(self, view, ring, expected):
        """Either form of an owner list: entries, or runs [owner, count]."""
        if not isinstance(view.value, list) or not view.value or type(view.value[0]) is int:
            return view.integers(0, ring - 1).astype(np.int32)
        owners, counts, left = [], [], expected
        for item in view.items():
            pair = item.items(2)
            owners.append(pair[0].integer(0, ring - 1))
            counts.append(pair[1].integer(1, left))
            left -= counts[-1]
            self._budget -= counts[-1]
            if self._budget < 0:
                item.wrong(f"at most {_MAX_OWNERS} owners in a plan")
        return np.repeat(np.array(owners, np.int32), counts)

    def _read_strategies(self, view):
        self.strategies = []
        for item in view.items():
            item.members(Strategy._fields)
            strategy = Strategy(
                item["family"].one_of(FAMILIES), item["cfg_degree"].integer(1, self.passes),
                item["ulysses_degree"].integer(1, self.ranks),
                item["ring_degree"].integer(1, self.ranks), item["exchange"].one_of(EXCHANGES),
                item["chunks"].integer(1, self.shape.heads),
                item["layout"].integer(0, len(self.layouts) - 1),
                item["partition"].integer(0, len(self.partitions) - 1), item["kernel"].text())
            self._check_strategy(item, strategy)
            self.strategies.append(strategy)

    def _check_strategy(self, view, strategy):
        first = (self.strategies or [strategy])[0]
        for key in ("cfg_degree", "layout"):
            if getattr(strategy, key) != getattr(first, key):
                view[key].wrong(f"{getattr(first, key)} as in strategies[0]")
        partition = self.partitions[strategy.partition]
        if partition.ranks * strategy.cfg_degree != self.ranks:
            view["partition"].wrong(f"a partition for {self.ranks} ranks / cfg_degree "
                                    f"{strategy.cfg_degree}, not for {partition.ranks}")
        chunks = int(partition.chunk_of_head.max()) + 1 if len(partition.chunk_of_head) else 1
        if chunks != strategy.chunks:
            view["chunks"].wrong(f"{chunks}, the chunks of partition {strategy.partition}")
        split = [group for group in partition.groups if len(group.ranks) > 1]
        if split and strategy.exchange == "alltoall":
            view["exchange"].wrong("ring, allgather or needed, because the partition splits rows")
        if strategy.exchange == "ring" and strategy.chunks > 1:
            view["chunks"].wrong("1 with exchange ring")
        for group in split:
            if bool(len(group.col_owner)) != (strategy.exchange == "ring"):
                view["partition"].wrong("a partition with column owners exactly for exchange ring")
        rings = np.concatenate([group.ranks for group in split] or [[]])
        if strategy.exchange == "ring" and len(np.unique(rings)) != len(rings):
            view["partition"].wrong("at most one ring for each rank")

    def _contract(self, view):
        view.members(("rho_limit", "fallback", "shares"))
        shares = {}
        for item in view["shares"].items():
            pair = item.items(2)
            shares[pair[0].integer(0, self.shape.heads - 1)] = np.array(
                [share.number(0, 1 + 1e-6) for share in pair[1].items()])
        return Contract(view["rho_limit"].number(),
                        view["fallback"].integer(0, len(self.strategies) - 1), shares)

    def _read_cells(self, view, contracts):
        self._cells = {}
        last = (-1, -1)
        for item in view.items():
            entry = item.items(5 if contracts else 4)
            at = (entry[0].integer(0, _MAX_INT), entry[1].integer(0, _MAX_INT))
            if at <= last:
                item.wrong("cells that are unique and sorted by step, then layer")
            last = at
            contract = None
            if contracts and entry[4].value is not None:
                contract = self._contracts[entry[4].integer(0, len(self._contracts) - 1)]
            self._cells[at] = (entry[2].integer(0, len(self.strategies) - 1),
                               entry[3].integer(0, len(self._predictions) - 1), contract)

    @property
    def cfg_degree(self):
        """Guidance passes that run at the same time, each on pass_ranks ranks."""
        return self.strategies[0].cfg_degree if self.strategies else 1

    @property
    def pass_ranks(self):
        return self.ranks // self.cfg_degree

    @property
    def cells(self):
        """All (step, layer) of the plan, by step, then layer."""
        return list(self._cells)

    def cell(self, step, layer):
        """errors  Error when the plan has no such cell"""
        if (step, layer) not in self._cells:
            steps, layers = ([key[i] for key in self._cells] or [-1] for i in (0, 1))
            raise Error(f"{self.origin}: key 'cells': the plan has no step {step} layer {layer}; "
                        f"it has steps {min(steps)} to {max(steps)}, layers {min(layers)} to "
                        f"{max(layers)}")
        strategy, prediction, contract = self._cells[step, layer]
        return Cell(self, step, layer, self.strategies[strategy], contract,
                    self._predictions[prediction])

    def holds(self, step, layer, counts=None, masks=None):
        """Cell.holds of one cell."""
        return self.cell(step, layer).holds(counts, masks)

    def token_order(self):
        """shape  [tokens]: the token that stands at each position of the plan's layout"""
        order = self.layouts[self.strategies[0].layout][1] if self.strategies else []
        tokens = np.arange(self.shape.tokens, dtype=np.int64)
        return _reordered(tokens, order, self.shape.unit)

    def permuted(self, masks):
        """Masks in the plan's token order. shape [heads, q_blocks, k_blocks]"""
        order = self.layouts[self.strategies[0].layout][1] if self.strategies else []
        shape = self.shape
        masks = self.checked_masks(masks)
        rows = _reordered(np.arange(shape.q_blocks), order, shape.unit // shape.block_q)
        cols = _reordered(np.arange(shape.k_blocks), order, shape.unit // shape.block_k)
        return masks[:, rows][:, :, cols]

    def checked_masks(self, masks):
        masks = np.asarray(masks)
        expected = (self.shape.heads, self.shape.q_blocks, self.shape.k_blocks)
        if masks.shape != expected or masks.dtype != np.bool_:
            raise Error(f"{self.origin}: masks of shape {masks.shape} and type {masks.dtype}, "
                        f"expected {expected} [heads, q_blocks, k_blocks] of bool")
        return masks


def _reordered(items, order, each):
    """Items in units of `each`, in the order of units. The last unit may be short."""
    if not len(order):
        return items
    return np.concatenate([items[unit * each:(unit + 1) * each] for unit in order])
