# SPDX-License-Identifier: Apache-2.0
"""Reads plans of dbsp-tune and gives a runtime what it needs of them. Needs numpy only.

plan = dbsp.load("plan.json.zst")
cell = plan.cell(step, layer)
cell.head_order(), cell.head_splits(), cell.row_owner, cell.col_owner, cell.exchanges(masks)
plan.holds(step, layer, counts)
"""

from ._input import Error
from .exchange import Round, Schedule
from .plan import Cell, Plan, load

__all__ = ["Cell", "Error", "Plan", "Round", "Schedule", "load"]
