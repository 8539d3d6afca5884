#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Static head orders beside orders of every step, on measured profiles: a Markdown table.

  static_heads.py NAME=RANKS=COUNTS.npy...   COUNTS: [steps, layers, heads]

rho is the busiest rank's active blocks over the mean rank's, each summed over all steps and layers.
"""

import os
import sys

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "python"))
import dbsp  # noqa: E402


def snake_of_the_step_before(counts, ranks):
    """xDiT: the order from a step's counts is used at the next step; the first step has none."""
    if counts.shape[-1] % ranks:
        return None
    given = np.broadcast_to(np.arange(counts.shape[-1]), counts[:1].shape)
    return np.concatenate([given, dbsp.snake_order(counts, ranks)[:-1]])


def row(name, ranks, counts):
    def shown(orders, judged=counts):
        return "-" if orders is None else f"{dbsp.rho(judged, orders, ranks):.3f}"

    static = dbsp.static_head_order(counts, ranks)
    own = dbsp.step_head_orders(counts, ranks)
    regret = dbsp.rho(counts, static, ranks) / dbsp.rho(counts, own, ranks) - 1
    even = dbsp.static_head_order(counts[::2], ranks)
    first = dbsp.step_head_orders(counts[:1], ranks)[0]
    return [name, str(ranks), shown(np.arange(counts.shape[-1])),
            shown(snake_of_the_step_before(counts, ranks)),
            shown(np.concatenate([own[:1], own[:-1]])), shown(own), shown(first), shown(static),
            shown(even, counts[1::2]), f"{100 * regret:.1f}%"]


def main(arguments):
    if not arguments:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    heading = ["profile", "ranks", "contiguous", "snake of the step before (xDiT)",
               "order of the step before", "order of every step", "order of the first step",
               "static", "static of even steps on odd steps", "regret"]
    print("| " + " | ".join(heading) + " |\n|" + "---|" * len(heading), flush=True)
    for argument in arguments:
        name, ranks, path = argument.split("=", 2)
        counts = np.load(path).astype(np.float64)
        print("| " + " | ".join(row(name, int(ranks), counts)) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
