# SPDX-License-Identifier: Apache-2.0
"""Orders of heads that balance plain Ulysses, from the active blocks of every head.

Plain Ulysses gives rank g the g-th part of the heads: ceil(heads / ranks) each, fewer at the end.
An order [heads] lists the old numbers of the heads in their new places.
"""

import numpy as np

from ._input import Error

_RESTARTS = 4
_LEAST_GAIN = 1e-9


def group_sizes(heads, ranks):
    """shape  [ranks] heads of each rank, as padded Ulysses deals them"""
    each = -(-heads // ranks)
    return np.diff(np.minimum(np.arange(ranks + 1) * each, heads))


def _checked(counts, ranks, dimensions):
    counts = np.asarray(counts, np.float64)
    if counts.ndim not in dimensions or not counts.size or not np.all(counts >= 0):
        raise Error(f"counts of shape {counts.shape}, expected numbers that are not negative in "
                    f"{' or '.join(map(str, dimensions))} dimensions, the last of heads")
    if not 1 <= ranks <= counts.shape[-1]:
        raise Error(f"ranks: {ranks}, expected 1 to {counts.shape[-1]}, the number of heads")
    return counts


def loads(counts, order, ranks):
    """Active blocks of each rank. shape counts [..., heads], order [heads] -> [..., ranks]"""
    begin = np.concatenate([[0], np.cumsum(group_sizes(counts.shape[-1], ranks))[:-1]])
    return np.add.reduceat(counts[..., order], begin, axis=-1)


def rho(counts, orders, ranks):
    """Busiest rank over mean rank, summed over all cells.

    shape  counts [..., layers, heads]; orders [layers, heads], or [..., layers, heads] with an
           order for every cell
    """
    counts = _checked(counts, ranks, (2, 3, 4))
    orders = np.broadcast_to(orders, counts.shape)
    moved = np.take_along_axis(counts, orders, axis=-1)
    busiest = loads(moved, np.arange(counts.shape[-1]), ranks).max(axis=-1).sum()
    return float(busiest * ranks / counts.sum()) if counts.sum() else 1.0


def snake_order(counts, ranks):
    """xDiT's rule: heads by falling count, dealt to the ranks forth and back, in equal numbers.

    shape   counts [..., heads], heads divisible by ranks -> orders of the same shape
    source  xDiT, use_spargeattn_head_balance (compute_perm), read at commit 175e0bf. xDiT uses the
            order of a step's counts at the next step
    """
    counts = _checked(counts, ranks, (1, 2, 3, 4))
    heads = counts.shape[-1]
    if heads % ranks:
        raise Error(f"ranks: {ranks} do not divide {heads} heads, as xDiT requires")
    ranked = np.argsort(-counts, axis=-1, kind="stable")
    places = np.arange(heads).reshape(-1, ranks)
    places[1::2] = places[1::2, ::-1]
    return ranked[..., places.T.ravel()]


def _greedy(counts, sizes, noise):
    """Heads by falling sum, each to the group that then has the lightest busiest step."""
    group = np.empty(counts.shape[1], np.int64)
    load = np.zeros((counts.shape[0], len(sizes)))
    left = sizes.copy()
    for head in np.argsort(-counts.sum(axis=0) * noise, kind="stable"):
        sums = load.sum(axis=0)
        sums[left == 0] = np.inf
        group[head] = best = int(np.argmin(sums))
        load[:, best] += counts[:, head]
        left[best] -= 1
    return group


def _swapped(counts, group, groups):
    """Exchanges pairs of heads while that lowers the sum over steps of the busiest group."""
    steps, heads = counts.shape
    load = np.zeros((steps, groups))
    for g in range(groups):
        load[:, g] = counts[:, group == g].sum(axis=1)
    first, second = np.triu_indices(heads, 1)
    lines = np.arange(steps)[:, None]
    total = load.max(axis=1).sum()
    while True:
        mine, other = group[first], group[second]
        pairs = np.flatnonzero(mine != other)
        if not len(pairs):
            return group, total
        a, b, g, h = first[pairs], second[pairs], mine[pairs], other[pairs]
        change = counts[:, b] - counts[:, a]
        top = np.argsort(-load, axis=1)[:, :3]
        rest = np.full((steps, len(pairs)), -np.inf)
        for rank in range(top.shape[1] - 1, -1, -1):  # the busiest group that is neither g nor h
            at = top[:, rank][:, None]
            rest = np.where((at != g) & (at != h), load[lines, at], rest)
        after = np.maximum(rest, np.maximum(load[:, g] + change, load[:, h] - change)).sum(axis=0)
        best = int(np.argmin(after))
        if after[best] >= total * (1 - _LEAST_GAIN):
            return group, total
        total = after[best]
        load[:, g[best]] += change[:, best]
        load[:, h[best]] -= change[:, best]
        group[a[best]], group[b[best]] = h[best], g[best]


def _order_of_layer(counts, ranks, rng):
    sizes = group_sizes(counts.shape[1], ranks)
    best = None
    for restart in range(_RESTARTS):
        noise = 1 + 0.2 * rng.standard_normal(counts.shape[1]) if restart else 1
        group, total = _swapped(counts, _greedy(counts, sizes, noise), ranks)
        if best is None or total < best[1] * (1 - _LEAST_GAIN):
            best = (group.copy(), total)
    return np.argsort(best[0], kind="stable")


def static_head_order(counts, ranks, tensor_parallel=1):
    """One order per layer for all steps: the least sum over steps of the busiest rank's blocks.

    counts           [steps, layers, heads] or [prompts, steps, layers, heads] active blocks
    ranks            the ulysses degree
    tensor_parallel  degree T that divides the heads first; heads stay in their T-th
    returns          orders [layers, heads]; equal counts give equal orders
    errors           Error for other shapes, and where T does not divide the heads
    """
    counts = _checked(counts, ranks, (3, 4))
    heads = counts.shape[-1]
    if tensor_parallel < 1 or heads % tensor_parallel or ranks > heads // tensor_parallel:
        raise Error(f"tensor_parallel: {tensor_parallel}, expected a divisor of {heads} heads that "
                    f"leaves {ranks} or more")
    counts = counts.reshape(-1, *counts.shape[-2:])
    rng = np.random.default_rng(0)
    part = heads // tensor_parallel
    orders = np.empty(counts.shape[1:], np.int64)
    for layer in range(counts.shape[1]):
        for begin in range(0, heads, part):
            shard = counts[:, layer, begin:begin + part]
            orders[layer, begin:begin + part] = begin + _order_of_layer(shard, ranks, rng)
    return orders


def step_head_orders(counts, ranks):
    """An order for every cell: what a runtime that moves heads at every step could reach.

    shape  counts [steps, layers, heads] -> orders [steps, layers, heads]
    """
    counts = _checked(counts, ranks, (3,))
    return np.stack([static_head_order(step[None], ranks) for step in counts])
