# SPDX-License-Identifier: Apache-2.0
"""Reads plans of dbsp-tune and gives a runtime what it needs of them. Needs numpy only.

plan = dbsp.load("plan.json.zst")
cell = plan.cell(step, layer)
cell.head_order(), cell.head_splits(), cell.row_owner, cell.col_owner, cell.exchanges(masks)
plan.holds(step, layer, counts)
dbsp.fold_heads(state_dict, dbsp.static_head_order(counts, ranks))
"""

from ._input import Error
from .cell import Cell
from .exchange import Round, Schedule
from .fold import DIFFUSERS, WAN, Names, fold_heads
from .heads import rho, snake_order, static_head_order, step_head_orders
from .plan import Plan, load
from .runtimes import RUNTIMES, export, legal

__all__ = ["DIFFUSERS", "RUNTIMES", "WAN", "Cell", "Error", "Names", "Plan", "Round", "Schedule",
           "export", "fold_heads", "legal", "load", "rho", "snake_order", "static_head_order",
           "step_head_orders"]
