// SPDX-License-Identifier: Apache-2.0
// What the matrix of layers and steps can show, as numbers or names per cell. Pure.

/** Cells of a plan with the numbers that the matrix colours.
 * @returns {{steps: number[], layers: number[], cells: object[], at: Map<string, object>}} */
export function gridOf(plan) {
  const steps = [...new Set(plan.cells.step)].sort((a, b) => a - b);
  const layers = [...new Set(plan.cells.layer)].sort((a, b) => a - b);
  const column = new Map(steps.map((step, i) => [step, i]));
  const row = new Map(layers.map((layer, i) => [layer, i]));
  const close = new Set((plan.tuning.close_calls?.step ?? []).map((step, i) => `${step},${plan.tuning.close_calls.layer[i]}`));
  const shown = new Map(plan.shown.map((cell) => [cell.prediction, cell]));
  const waves = Math.ceil(plan.passes / plan.cfg_degree);
  const cells = plan.cells.step.map((step, i) => {
    const layer = plan.cells.layer[i];
    const prediction = plan.predictions[plan.cells.prediction[i]];
    return {
      i, step, layer, row: row.get(layer), column: column.get(step),
      strategy: plan.strategies[plan.cells.strategy[i]], strategyIndex: plan.cells.strategy[i], prediction,
      // Time of a step: all passes.
      time: prediction.total_ns * waves,
      gain: prediction.ulysses_ns ? (prediction.ulysses_ns * plan.passes) / (prediction.total_ns * waves) : null,
      replayed: plan.cells.replayed_ns[i], rhoLimit: plan.cells.rho_limit?.[i] ?? null,
      close: close.has(`${step},${layer}`), shown: shown.get(plan.cells.prediction[i]) ?? null,
    };
  });
  return { steps, layers, cells, at: new Map(cells.map((cell) => [`${cell.row},${cell.column}`, cell])) };
}

const over = (a, b) => (a !== null && b > 0 ? a / b - 1 : null);

/** kind: 'number' (one ramp), 'signed' (two ramps that meet at 0) or 'names'. unit: how to say it. */
export const MODES = [
  { id: 'gain', name: 'Gain over plain ulysses', kind: 'number', unit: 'times', value: (c) => c.gain },
  { id: 'bound', name: 'Time above the lower bound', kind: 'number', unit: 'percent', value: (c) => over(c.prediction.total_ns, c.prediction.lower_bound_ns) },
  { id: 'time', name: 'Predicted time of a step', kind: 'number', unit: 'time', value: (c) => c.time },
  { id: 'rho', name: 'Imbalance ρ', kind: 'number', unit: 'ratio', value: (c) => c.prediction.rho_barrier },
  { id: 'strategy', name: 'Strategy', kind: 'names', value: (c) => c.strategy.label },
  { id: 'kernel', name: 'Kernel', kind: 'names', value: (c) => c.strategy.kernel || 'device default' },
  { id: 'close', name: 'Close call', kind: 'names', value: (c) => (c.close ? 'close call' : 'clear') },
  { id: 'replay', name: 'Replay error', kind: 'signed', unit: 'percent', value: (c) => over(c.replayed, c.prediction.total_ns) },
  { id: 'contract', name: 'Contract slack', kind: 'number', unit: 'percent', value: (c) => over(c.rhoLimit, c.prediction.rho_barrier) },
];

/** Modes for which at least one cell has a value and, of names, not all cells the same one. */
export function modesOf(grid) {
  return MODES.filter((mode) => {
    const values = new Set(grid.cells.map(mode.value).filter((v) => v !== null && Number.isFinite(mode.kind === 'names' ? 0 : v)));
    return mode.kind === 'names' ? mode.id === 'strategy' || values.size > 1 : values.size > 0;
  });
}

/** Names by decreasing number of cells; the place of a name gives its colour. */
export function namesOf(grid, mode) {
  const counts = new Map();
  for (const cell of grid.cells) counts.set(mode.value(cell), (counts.get(mode.value(cell)) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1] || String(a[0]).localeCompare(String(b[0])));
}

/** Sums of predicted time: per step (all layers) and per layer (all steps). */
export function marginals(grid) {
  const steps = Array.from(grid.steps, () => 0);
  const layers = Array.from(grid.layers, () => 0);
  for (const cell of grid.cells) {
    steps[cell.column] += cell.time;
    layers[cell.row] += cell.time;
  }
  return { steps, layers };
}

/** The cell that a page opens on: replayed if there is one, else the one that takes most time. */
export function firstCell(grid) {
  const rank = (cell) => (cell.replayed !== null && cell.shown?.replayed?.length > 0 ? 1 : 0);
  return grid.cells.reduce((best, cell) => (best === null || rank(cell) > rank(best) || (rank(cell) === rank(best) && cell.time > best.time) ? cell : best), null);
}
