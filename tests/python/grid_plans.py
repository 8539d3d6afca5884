# SPDX-License-Identifier: Apache-2.0
"""Plans of every family and exchange, also those that a search would not choose.

The predictions hold the bytes of dbsp.exchange, so that dbsp-replay compares them with the lists of
its own planner, and its verification with exact attention.
"""

import numpy as np
import support

import dbsp


def _owners(rng, blocks, ring, even):
    return (np.arange(blocks) % ring if even else rng.integers(0, ring, blocks)).tolist()


def _grid(rng, shape, ulysses, ring, columns, equal):
    """U groups of R ranks with random heads and owners."""
    heads = np.arange(shape.heads) if equal else rng.permutation(shape.heads)
    groups = []
    for g, part in enumerate(np.array_split(heads, ulysses)):
        groups.append({"heads": sorted(part.tolist()),
                       "ranks": [i * ulysses + g for i in range(ring)],
                       "row_owner": _owners(rng, shape.q_blocks, ring, equal) if ring > 1 else [],
                       "col_owner": (_owners(rng, shape.k_blocks, ring, equal)
                                     if ring > 1 and columns else [])})
    return groups


def _placed(rng, shape, ranks):
    """Split heads on random ranks, and whole heads."""
    split = shape.heads // 2
    groups = []
    for head in range(split):
        ring = rng.permutation(ranks)[:2 + head % (ranks - 1)].tolist()
        groups.append({"heads": [head], "ranks": ring,
                       "row_owner": rng.integers(0, len(ring), shape.q_blocks).tolist(),
                       "col_owner": []})
    for r, part in enumerate(np.array_split(np.arange(split, shape.heads), ranks)):
        groups.append({"heads": part.tolist(), "ranks": [r], "row_owner": [], "col_owner": []})
    return groups


def strategies(ranks):
    """(family, U, R, exchange, chunks) that the file format and the runtime know."""
    found = [("ulysses", ranks, 1, "alltoall", 1), ("ulysses", ranks, 1, "alltoall", 2),
             ("balanced", ranks, 1, "alltoall", 1), ("balanced", ranks, 1, "allgather", 1),
             ("balanced", ranks, 1, "needed", 2), ("dbsp", ranks, 1, "alltoall", 1),
             ("placed", ranks, 1, "needed", 1), ("placed", ranks, 1, "needed", 2),
             ("placed", ranks, 1, "allgather", 1), ("placed", ranks, 1, "allgather", 2)]
    for exchange in ("ring", "allgather", "needed"):
        found += [("ring", 1, ranks, exchange, 1), ("dbsp", 1, ranks, exchange, 1),
                  ("usp", ranks // 2, 2, exchange, 1), ("usp", 2, ranks // 2, exchange, 1),
                  ("balanced", 2, ranks // 2, exchange, 1), ("dbsp", 2, ranks // 2, exchange, 1),
                  ("dbsp", ranks // 2, 2, exchange, 1)]
    return found


def _prediction(cell, masks):
    schedule = cell.exchanges(masks)
    segments = []
    sent = schedule.hop_bytes().sum(axis=0)
    sent = np.array([sent[program.ring_prev] if program.ring_prev >= 0 else 0
                     for program in schedule.rank])
    for index, one in enumerate(schedule.before + schedule.after):
        moved = one.bytes()
        for rank in range(schedule.ranks):
            out = int(moved[rank].sum() - moved[rank, rank])
            sent[rank] += out
            for kind, value in (("pack", int(moved[rank].sum())), ("exchange", out),
                                ("unpack", int(moved[:, rank].sum()))):
                segments.append([rank, kind, index, 0, 1, value])
    for step, row in enumerate(schedule.hop_bytes()):
        segments += [[rank, "hop", step, 0, 1, int(value)] for rank, value in enumerate(row)]
    return {"bytes_per_rank": int(sent.max()), "segments": segments, "total_ns": 1, "low_ns": 1,
            "high_ns": 1, "compute_ns": 1, "exchange_ns": 0, "lower_bound_ns": 1,
            "rho_barrier": cell.rho(masks), "rho_timeline": 1.0, "moved_fraction": 0.0}


def make(base, masks, path, seed=1):
    """Writes a plan of every strategy, from a plan of dbsp-tune that has at least as many cells.

    base   path of a plan whose workload has the same masks in every cell
    masks  bool [heads, q_blocks, k_blocks] in the order of the plan's tokens
    """
    document = support.read(base)
    del document["content_hash"]
    document.pop("baselines", None)
    loaded = dbsp.load(base)
    shape, ranks = loaded.shape, loaded.pass_ranks
    rng = np.random.default_rng(seed)
    old = document["strategies"][0]
    chunk = (np.arange(shape.heads) % 2).tolist()
    document.update(partitions=[], strategies=[], predictions=[], contracts=[], cells=[])
    for number, (family, ulysses, ring, exchange, chunks) in enumerate(strategies(ranks)):
        groups = (_placed(rng, shape, ranks) if family == "placed" else
                  _grid(rng, shape, ulysses, ring, exchange == "ring",
                        family in ("usp", "ulysses")))
        document["partitions"].append({
            "ranks": ranks, "heads": shape.heads, "q_blocks": shape.q_blocks,
            "k_blocks": shape.k_blocks, "groups": groups,
            "chunk_of_head": chunk if chunks == 2 else []})
        document["strategies"].append(dict(
            old, family=family, ulysses_degree=ulysses, ring_degree=ring, exchange=exchange,
            chunks=chunks, partition=number, kernel=""))
        document["predictions"].append({"rho_barrier": 1.0})
    last = len(document["strategies"]) - 1
    document["cells"] = [[step, layer, min(i, last), min(i, last), None]
                         for i, (step, layer) in enumerate(loaded.cells)]
    plan = dbsp.load(support.write(path, document))
    for number, (step, layer) in enumerate(plan.cells[:last + 1]):
        document["predictions"][number] = _prediction(plan.cell(step, layer), masks)
    return support.write(path, document)
