// SPDX-License-Identifier: Apache-2.0
// The table of candidates: all families and degrees that were searched, or the plan's strategies.
import { h, note, section } from './dom.js';
import { bytes, count, interval, ms, percent, ratio } from './format.js';
import { table } from './table.js';

const number = (name, key, text, hint) => ({ name, value: (row) => row[key], text, number: true, hint });
const text = (name, key) => ({ name, value: (row) => row[key] });

const degrees = {
  name: 'C × U × R',
  hint: 'Concurrent guidance passes × Ulysses degree × ring degree',
  value: (row) => (row.ulysses_degree === null ? null : `${row.cfg_degree ?? 1} × ${row.ulysses_degree} × ${row.ring_degree}`),
};

const COLUMNS = [
  // The columns that distinguish candidates of one family come first.
  text('Family', 'family'), degrees, text('Exchange', 'exchange'), text('Chunks', 'chunks'), text('Layout', 'layout'),
  number('Time', 'total_ms', ms, 'Whole workload, including exchanges'),
  { name: 'Interval', value: (row) => row.total_ms_low, text: (_, row) => interval(row.total_ms_low, row.total_ms_high, ms), number: true },
  number('Lower bound', 'lower_bound_ms', ms), number('Compute', 'compute_ms', ms), number('Exposed', 'exchange_ms', ms, 'Exposed exchanges and copies: time minus compute'),
  number('Imbalance ρ', 'rho_barrier', ratio, 'Load of the slowest rank over the mean load, over all cells; 1 is balanced'),
  number('Worst ρ', 'rho_barrier_worst', ratio, 'Largest imbalance ratio of any cell'), number('Time / bound', 'rho_timeline', ratio, 'Time over lower bound'),
  number('Bytes per rank', 'bytes_per_rank', bytes), number('Moved', 'moved_fraction', percent, 'Bytes sent over the bytes of Q, K, V and O'),
  number('Cells', 'chosen', count, 'Cells for which it is chosen'),
  text('Kernels', 'kernels'), text('Verdict', 'verdict'),
];

/** Columns in which at least one row has a value. */
const used = (rows) => COLUMNS.filter((column) => rows.some((row) => column.value(row) !== null && column.value(row) !== undefined && column.value(row) !== ''));

function candidateTable(rows, caption) {
  const columns = used(rows);
  const sort = columns.findIndex((column) => column.name === 'Time');
  return table(columns, rows, { caption, sort, rowClass: (row) => (row.chosen > 0 ? 'chosen' : null) });
}

function ownRows(plan) {
  return plan.strategies.filter((s) => s.cells > 0).map((s) => ({ ...s, kernels: s.kernel, chosen: s.cells }));
}

export function compareSection(data, plan, index) {
  const documents = data.compare.filter((c) => c.plans.includes(index));
  const unmatched = data.compare.filter((c) => c.plans.length === 0);
  const body = documents.map((c) => candidateTable(c.candidates, `Candidates of ${c.name} on ${c.ranks} ranks, ${c.costs} costs`));
  if (plan && documents.length === 0) {
    body.push(candidateTable(ownRows(plan), 'Strategies of the plan'));
    body.push(note('A plan contains only the strategies that were chosen for some cell. To see all candidates, save the output of dbsp-tune --compare --json and give it with --compare.'));
  }
  for (const c of unmatched) body.push(candidateTable(c.candidates, `Candidates of ${c.name} on ${c.ranks} ranks (not a search for a plan of this page)`));
  if (body.length === 0) body.push(note('No plan and no compare document was given.'));
  return section('compare', 'Candidates', h('div', { class: 'stack' }, body));
}
