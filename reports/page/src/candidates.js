// SPDX-License-Identifier: Apache-2.0
// The search: all families and degrees that were tried, what was excluded and why, the best first.
import { axisX, axisY, dot, ruleX, ruleY } from '@observablehq/plot';
import { h, note, section } from './dom.js';
import { count, interval, ms, percent, plural, ratio, times } from './format.js';
import { chart, legendOf } from './plot.js';
import { table } from './table.js';

const text = (name, key, extra) => ({ name, value: (row) => row[key], extra });

const degrees = {
  name: 'C × U × R',
  hint: 'Concurrent guidance passes × Ulysses degree × ring degree',
  value: (row) => (row.ulysses_degree === null ? null : `${row.cfg_degree ?? 1} × ${row.ulysses_degree} × ${row.ring_degree}`),
};
const inMs = (name, key, hint, extra) => ({ name, value: (row) => (row[key] === null || row[key] === undefined ? null : row[key] * 1e6), unit: 'time', number: true, hint, extra });

/** Eight columns are shown at first, the others can be chosen. */
const COLUMNS = [
  text('Family', 'family'), degrees, text('Exchange', 'exchange'), text('Chunks', 'chunks'),
  inMs('Time', 'total_ms', 'Whole workload, including exchanges'),
  inMs('Exposed', 'exchange_ms', 'Exposed exchanges and copies: time minus compute'),
  { name: 'Imbalance ρ', value: (row) => row.rho_barrier, text: ratio, number: true, hint: 'Load of the slowest rank over the mean load, over all cells; 1 is balanced' },
  { name: 'Cells', value: (row) => row.chosen, text: count, number: true, hint: 'Cells for which it is chosen' },
  text('Verdict', 'verdict', true), text('Layout', 'layout', true),
  { name: 'Interval', value: (row) => row.total_ms_low, text: (_, row) => interval(row.total_ms_low, row.total_ms_high, ms), number: true, extra: true },
  inMs('Lower bound', 'lower_bound_ms', undefined, true), inMs('Compute', 'compute_ms', undefined, true),
  { name: 'Worst ρ', value: (row) => row.rho_barrier_worst, text: ratio, number: true, hint: 'Largest imbalance ratio of any cell', extra: true },
  { name: 'Time / bound', value: (row) => row.rho_timeline, text: ratio, number: true, hint: 'Time over lower bound', extra: true },
  { name: 'Bytes per rank', value: (row) => row.bytes_per_rank, unit: 'bytes', number: true, extra: true },
  { name: 'Moved', value: (row) => row.moved_fraction, text: percent, number: true, hint: 'Bytes sent over the bytes of Q, K, V and O', extra: true },
  text('Kernels', 'kernels', true), text('The same as', 'same', true),
];

const has = (column, row) => { const v = column.value(row); return v !== null && v !== undefined && v !== ''; };

/** Candidates that do the same under another name have all numbers equal: one row stands for them
 * and names the others. Excluded candidates, which have no numbers, are kept apart. Pure. */
export function folded(rows) {
  const seen = new Map();
  for (const row of rows) {
    const key = row.total_ms === null ? Symbol('excluded') : JSON.stringify([row.total_ms, row.compute_ms, row.bytes_per_rank, row.rho_barrier, row.cfg_degree, row.chunks, row.layout]);
    const first = seen.get(key);
    if (!first) seen.set(key, { ...row, same: '' });
    else {
      const name = `${row.family} ${degrees.value(row)}`;
      first.same = first.same ? `${first.same}; ${name}` : name;
      first.chosen = (first.chosen ?? 0) + (row.chosen ?? 0);
    }
  }
  return [...seen.values()];
}

function candidateTable(all, caption) {
  const rows = folded(all);
  const columns = COLUMNS.filter((column) => rows.some((row) => has(column, row)));
  const sort = columns.findIndex((column) => column.name === 'Time');
  const facets = [['Family', (r) => r.family], ['C', (r) => r.cfg_degree ?? 1], ['Exchange', (r) => r.exchange], ['Chunks', (r) => r.chunks]].map(([name, value]) => ({ name, value }));
  return table(columns, rows, { caption, sort, filter: rows.length > 15, facets: rows.length > 8 ? facets : [], rowClass: (row) => (row.chosen > 0 ? 'chosen' : row.total_ms === null ? 'bad' : null) });
}

/** What was tried, in one sentence. */
function summaryOf(rows) {
  const known = rows.filter((r) => r.total_ms !== null);
  const excluded = rows.filter((r) => r.total_ms === null);
  const same = known.length - folded(known).length;
  const reasons = [...new Set(excluded.map((r) => r.verdict || 'no reason given'))];
  return `${plural(rows.length, 'candidate')} of ${plural(new Set(rows.map((r) => r.family)).size, 'family').replace('familys', 'families')} were tried.${same > 0 ? ` ${same} do the same as another one and share its row.` : ''}${excluded.length ? ` ${excluded.length} were excluded: ${reasons.join('; ')}.` : ' None was excluded.'}`;
}

function dots(rows, best) {
  const known = rows.filter((r) => r.total_ms !== null).map((r) => ({ ...r, worse: r.total_ms / best }));
  const families = [...new Set(known.map((r) => r.family))].sort((a, b) => Math.min(...known.filter((r) => r.family === a).map((r) => r.worse)) - Math.min(...known.filter((r) => r.family === b).map((r) => r.worse)));
  const most = Math.max(...known.map((r) => r.worse));
  return chart({
    title: 'Time of every candidate over the best one, whole workload', label: `Candidates by family: ${families.map((f) => `${f} from ${times(Math.min(...known.filter((r) => r.family === f).map((r) => r.worse)))}`).join(', ')}.`,
    legend: legendOf([['one pass after the other', 'dot-open'], ['passes at the same time', 'dot-filled']]),
    options: () => ({
      height: families.length * 24 + 46, marginLeft: 70, marginRight: 20, x: { type: most > 6 ? 'log' : 'linear', domain: [1, Math.max(1.05, most)], label: null, grid: true }, y: { domain: families, label: null },
      marks: [
        axisX({ ticks: 6, tickFormat: (d) => `${d}×` }), axisY({ tickSize: 0 }), ruleY(families, { className: 'lane' }), ruleX([1], { className: 'bound' }),
        ...[false, true].map((side) => dot(known.filter((r) => ((r.cfg_degree ?? 1) > 1) === side), { x: 'worse', y: 'family', r: 4.5, className: side ? 'dot-filled' : 'dot-open', title: (r) => `${r.family} ${degrees.value(r)}, ${r.chunks ?? 1} chunks: ${ms(r.total_ms)}` })),
      ],
    }),
  });
}

function searchView(rows, caption) {
  const times = rows.map((r) => r.total_ms).filter((v) => v !== null);
  return h('div', {}, note(summaryOf(rows)), times.length > 1 ? dots(rows, Math.min(...times)) : null, candidateTable(rows, caption));
}

function ownRows(plan) {
  return plan.strategies.filter((s) => s.cells > 0).map((s) => ({ ...s, kernels: s.kernel, chosen: s.cells }));
}

export function searchSection(data, plan, index) {
  const documents = data.compare.filter((c) => c.plans.includes(index));
  const unmatched = data.compare.filter((c) => c.plans.length === 0);
  const body = documents.map((c) => searchView(c.candidates, `Candidates of ${c.name} on ${c.ranks} ranks, ${c.costs} costs`));
  if (plan && documents.length === 0) {
    body.push(candidateTable(ownRows(plan), 'Strategies of the plan'));
    body.push(note('A plan contains only the strategies that were chosen for some cell. To see all candidates, save the output of dbsp-tune --compare --json and give it with --compare.'));
  }
  for (const c of unmatched) body.push(searchView(c.candidates, `Candidates of ${c.name} on ${c.ranks} ranks (not a search for a plan of this page)`));
  if (body.length === 0) body.push(note('No plan and no compare document was given.'));
  return section('search', 'Candidates and search', h('div', { class: 'stack' }, body));
}
