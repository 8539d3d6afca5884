// SPDX-License-Identifier: Apache-2.0
// Tables of all stored trials, by kind: configuration, time, spread and outcome.
import { guarded, h, note, section } from './dom.js';
import { sqlOf } from './sql.js';
import { bytes, count, interval, percent, plural, time } from './format.js';
import { table } from './table.js';

const shared = [
  { name: 'Median', value: (t) => t.median_ns, unit: 'time', number: true },
  { name: 'Outcome', value: (t) => t.outcome, text: (value, t) => (t.detail ? `${value}: ${t.detail}` : value) },
  { name: 'Interquartile range', value: (t) => t.q25_ns, text: (_, t) => interval(t.q25_ns, t.q75_ns, time), number: true, hint: '25th to 75th percentile of the samples' },
  { name: 'Spread', value: (t) => t.spread, text: percent, number: true, hint: 'Interquartile range over median' },
  { name: 'Samples', value: (t) => t.samples, text: count, number: true },
  { name: 'Discarded', value: (t) => t.discarded, text: count, number: true },
  { name: 'Stopped by', value: (t) => t.stop_reason },
  { name: 'Method', value: (t) => t.method },
  { name: 'Suite', value: (t) => t.suite },
  { name: 'Environment', value: (t) => t.environment, number: true },
];

const id = { name: 'Trial', value: (t) => t.id, number: true };
const KINDS = {
  attention: ['Attention', [id,
    { name: 'Kernel', value: (t) => t.kernel }, { name: 'Pattern', value: (t) => t.pattern },
    { name: 'Heads × dim', value: (t) => `${t.heads} × ${t.head_dim}` }, { name: 'Block', value: (t) => t.block },
    { name: 'Grid of blocks', value: (t) => t.q_blocks, text: (_, t) => `${t.q_blocks} × ${t.k_blocks}` },
    { name: 'Active blocks', value: (t) => t.kept_blocks, text: count, number: true },
    { name: 'Density', value: (t) => t.density, text: percent, number: true }]],
  exchange: ['Exchanges', [id,
    { name: 'Operation', value: (t) => t.op }, { name: 'Transport', value: (t) => t.transport },
    { name: 'Ranks', value: (t) => t.ranks, number: true }, { name: 'Bytes per rank', value: (t) => t.bytes_per_rank, unit: 'bytes', number: true },
    { name: 'Unevenness', value: (t) => t.unevenness, text: (v) => v.toFixed(2), number: true, hint: 'Bytes of the busiest rank over the mean' }]],
  local: ['Local copies and merges', [id,
    { name: 'Operation', value: (t) => t.op },
    { name: 'Amount', value: (t) => t.amount, text: (v, t) => (t.op === 'merge' ? plural(v, 'row') : bytes(v)), number: true },
    { name: 'Head dim', value: (t) => t.head_dim, number: true }, { name: 'Block', value: (t) => t.block }]],
  overlap: ['Attention and exchanges at once', [id,
    { name: 'Timed', value: (t) => t.timed }, { name: 'Kernel', value: (t) => t.kernel },
    { name: 'Active blocks', value: (t) => t.kept_blocks, text: count, number: true },
    { name: 'Operation', value: (t) => t.op }, { name: 'Ranks', value: (t) => t.ranks, number: true },
    { name: 'Bytes per rank', value: (t) => t.bytes_per_rank, unit: 'bytes', number: true },
    { name: 'SM margin', value: (t) => t.sm_margin, number: true, hint: 'SMs that attention leaves free for NCCL' },
    { name: 'Alone', value: (t) => t.alone_median_ns, text: time, number: true, hint: 'Median time of the same call without overlap' },
    { name: 'Slowdown', value: (t) => t.slowdown, text: (v) => v.toFixed(2), number: true, hint: 'Median over the median without overlap' }]],
};

export function measurementsSection(data) {
  const tables = Object.entries(KINDS).map(([kind, [title, columns]]) => {
    const rows = data.trials.filter((t) => t.kind === kind);
    if (rows.length === 0) return null;
    return guarded(() => h('div', { 'data-trials': kind }, h('h3', {}, title),
      table([...columns, ...shared], rows, { caption: `${title}: ${plural(rows.length, 'trial')}`, filter: rows.length > 10, rowClass: (t) => (t.outcome === 'ok' ? null : 'bad'), sql: sqlOf(data, `v_${kind}`) })));
  });
  return section('measurements', 'Measurements',
    data.trials.length === 0 ? note(data.database ? 'There is no trial yet. Run dbsp-profile to measure.' : 'No database was given with --db, so there are no measurements to show.') : null,
    data.trials_total > data.trials.length ? note(`The newest ${count(data.trials.length)} of ${count(data.trials_total)} trials are listed.`) : null,
    tables);
}
