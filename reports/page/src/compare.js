// SPDX-License-Identifier: Apache-2.0
// Two or more plans side by side: totals on one scale, the verdict between each and the chosen one.
import { axisX, axisY, barX, ruleY, text } from '@observablehq/plot';
import { h, note, section } from './dom.js';
import { clip, interval, ms, times } from './format.js';
import { heatMap } from './matrix.js';
import { gridOf } from './modes.js';
import { chart, legendOf } from './plot.js';
import { table } from './table.js';

/** Less than this apart is the same; as in core/baseline.h. */
const SAME = 0.02;

/** What a plan's sums are, over all cells and passes, in ms. */
export function totalsOf(plan) {
  const waves = Math.ceil(plan.passes / plan.cfg_degree);
  let compute = 0;
  for (const index of plan.cells.prediction) compute += plan.predictions[index].compute_ns;
  const v = plan.verdict;
  return { total: v.predicted_ms, low: v.low_ms, high: v.high_ms, compute: (compute * waves) / 1e6, exposed: v.predicted_ms - (compute * waves) / 1e6 };
}

/** Whether predicted times may be compared: the same workload, ranks, costs and cells. */
export const comparable = (a, b) => a.workload.hash === b.workload.hash && a.ranks === b.ranks && a.costs === b.costs && a.cluster === b.cluster && a.database_hash === b.database_hash && a.cells_total === b.cells_total;

/** FASTER, SLOWER, SAME or AMBIGUOUS: what `b` is against `a`, by the rule that the page prints. */
export function verdictOf(a, b) {
  const gain = a.total / b.total;
  if (Math.abs(gain - 1) < SAME) return 'SAME';
  const half = Math.max(...[a, b].map((t) => (t.total > 0 ? (t.high - t.low) / 2 / t.total : 0)));
  const unsure = half * (Math.abs(a.compute - b.compute) + Math.abs(a.exposed - b.exposed));
  if (Math.abs(a.total - b.total) <= unsure) return 'AMBIGUOUS';
  return gain > 1 ? 'FASTER' : 'SLOWER';
}

export const RULE = `SAME: less than ${SAME * 100}% apart. FASTER, SLOWER: the totals differ by more than h (difference of compute + difference of exposed), h being the larger relative half width of the intervals; errors of shared rates cancel where both spend the same time. AMBIGUOUS: they do not. Plans of other workloads, ranks or costs are not compared.`;

function differenceMap(plan, other, store, cellOf) {
  const grid = gridOf(plan);
  const waves = Math.ceil(other.passes / other.cfg_degree);
  const theirs = new Map(other.cells.step.map((step, i) => [`${step},${other.cells.layer[i]}`, other.predictions[other.cells.prediction[i]].total_ns * waves]));
  const mode = { id: 'difference', name: `Time of ${clip(other.name, 40)} over this plan, minus 1`, kind: 'signed', unit: 'percent', value: (c) => { const t = theirs.get(`${c.step},${c.layer}`); return t === undefined ? null : t / c.time - 1; } };
  return heatMap(grid, store, () => { const c = cellOf(store.get()); return grid.cells[c.i]; }, [mode]);
}

export function compareSection(data, plan, store, cellOf) {
  const mine = totalsOf(plan);
  const rows = data.plans.map((p, i) => ({ p, i, same: comparable(plan, p), totals: totalsOf(p) }));
  const others = rows.filter((r) => r.p !== plan && r.same);
  const shown = rows.filter((r) => r.same);
  const names = new Map(shown.map((r) => [r.i, `${r.i + 1}: ${clip(r.p.name, 26)}`]));
  const figure = chart({
    title: 'Predicted attention time on one scale', label: `Plans: ${shown.map((r) => `${r.p.name} ${ms(r.totals.total)}`).join(', ')}.`,
    legend: legendOf([['compute of the slowest rank', 'part-attention'], ['exposed exchanges and copies', 'part-exchange'], ['interval', 'whisker-key']]),
    options: (width) => ({
      height: shown.length * 44 + 40, marginLeft: width < 460 ? 110 : 210, marginRight: 70, x: { domain: [0, Math.max(...shown.map((r) => r.totals.high))], label: null, grid: true }, y: { domain: shown.map((r) => r.i), label: null, padding: 0.42 },
      marks: [
        axisX({ ticks: width < 500 ? 3 : 6, tickFormat: (d) => ms(d) }), axisY({ tickSize: 0, tickFormat: (i) => (width < 460 ? clip(names.get(i), 14) : names.get(i)) }),
        barX(shown, { x1: 0, x2: (r) => r.totals.compute, y: 'i', fill: () => 'var(--part-attention)' }),
        barX(shown, { x1: (r) => r.totals.compute, x2: (r) => r.totals.total, y: 'i', fill: () => 'var(--part-exchange)' }),
        ruleY(shown, { x1: (r) => r.totals.low, x2: (r) => r.totals.high, y: 'i', dy: 15, className: 'whisker' }),
        text(shown, { x: (r) => r.totals.total, y: 'i', dx: 8, textAnchor: 'start', text: (r) => ms(r.totals.total), className: 'value' }),
      ],
      color: { type: 'identity' },
    }),
  });
  const list = table([
    { name: 'Plan', value: (r) => r.p.name },
    { name: 'Against this plan', value: (r) => (r.p === plan ? 'this plan' : !r.same ? 'not comparable' : verdictOf(mine, r.totals)) },
    { name: 'Predicted', value: (r) => r.totals.total * 1e6, unit: 'time', number: true },
    { name: 'Interval', value: (r) => r.totals.low, text: (_, r) => interval(r.totals.low, r.totals.high, ms), number: true },
    { name: 'Time / this plan', value: (r) => (r.same ? r.totals.total / mine.total : null), text: times, number: true },
    { name: 'Best evidence', value: (r) => r.p.verdict.headline.ms * 1e6, unit: 'time', number: true }, { name: 'Evidence', value: (r) => r.p.verdict.headline.source },
  ], rows, { caption: 'Plans of this page' });
  const maps = others.slice(0, 4).map((r) => ({ r, map: differenceMap(plan, r.p, store, cellOf) }));
  store.on(['step', 'layer'], () => maps.forEach(({ map }) => map.place()));
  return section('compare', 'Comparison of plans', note(RULE), figure, list,
    others.length === 0 ? note('No other plan of this page has the workload, the ranks and the costs of this one.') : null,
    h('div', { class: 'charts' }, maps.map(({ map }) => map.node)));
}
