// SPDX-License-Identifier: Apache-2.0
// Predicted and replayed time per kind of segment: a waterfall from one to the other, and a table.
import { axisX, axisY, barX, ruleX, text } from '@observablehq/plot';
import { h, note } from './dom.js';
import { clip, count, percent, plural, signed, time } from './format.js';
import { chart, legendOf } from './plot.js';
import { sqlOf } from './sql.js';
import { table } from './table.js';

/** Steps from the predicted sum to the replayed sum: {name, kind, from, to}, and how much of the
 * differences cancels: 0 when all have one sign, 1 when they add up to nothing. Pure. */
export function waterfallOf(rows) {
  const known = rows.filter((r) => r.measured && r.difference_ns !== null);
  const predicted = known.reduce((sum, r) => sum + r.predicted_ns, 0);
  const steps = [{ name: 'predicted', kind: null, from: 0, to: predicted }];
  let at = predicted;
  for (const r of known) {
    steps.push({ name: r.kind, kind: r.kind, from: at, to: at + r.difference_ns });
    at += r.difference_ns;
  }
  steps.push({ name: 'replayed', kind: null, from: 0, to: at });
  const absolute = known.reduce((sum, r) => sum + Math.abs(r.difference_ns), 0);
  return { steps, cancelled: absolute > 0 ? 1 - Math.abs(at - predicted) / absolute : 0 };
}

function waterfall(rows, id) {
  const { steps, cancelled } = waterfallOf(rows);
  // The ends are long and the steps are short: the axis begins near the steps.
  const changing = steps.slice(1, -1).flatMap((s) => [s.from, s.to]);
  const low = Math.min(...changing);
  const high = Math.max(...changing, steps[0].to);
  const left = Math.max(0, low - Math.max(0.15 * high, 1.5 * (high - low)));
  const names = steps.map((s) => s.name);
  const figure = chart({
    title: 'From predicted to replayed, measured segments', label: `Waterfall of replay ${id}: ${steps.map((s) => (s.kind ? `${s.name} ${signed(s.to - s.from, time)}` : `${s.name} ${time(s.to)}`)).join(', ')}.`,
    legend: legendOf(steps.filter((s) => s.kind).map((s) => [s.kind, `part-${s.kind}`])),
    attributes: { 'data-waterfall': id },
    options: (width) => ({
      height: steps.length * 25 + 34, marginLeft: 80, marginRight: 84,
      x: { domain: [left, high + (high - left) * 0.02], label: null, grid: true }, y: { domain: names, label: null, padding: 0.3 },
      marks: [
        axisX({ ticks: width < 500 ? 3 : 6, tickFormat: (d) => time(d) }), axisY({ tickSize: 0 }),
        barX(steps, { x1: (s) => Math.max(left, Math.min(s.from, s.to)), x2: (s) => Math.max(s.from, s.to), y: 'name', fill: (s) => (s.kind ? `var(--part-${s.kind})` : 'var(--soft)') }),
        ruleX([steps[0].to], { className: 'bound' }),
        text(steps.filter((s) => s.to < s.from), { x: 'to', y: 'name', dx: -6, textAnchor: 'end', text: (s) => signed(s.to - s.from, time), className: 'value' }),
        text(steps.filter((s) => s.to >= s.from), { x: 'to', y: 'name', dx: 6, textAnchor: 'start', text: (s) => (s.kind ? signed(s.to - s.from, time) : time(s.to)), className: 'value' }),
      ],
      color: { type: 'identity' },
    }),
  });
  return h('div', {}, figure, note(`${percent(cancelled)} of the differences cancel each other.${left > 0 ? ` The axis begins at ${time(left)}.` : ''}`));
}

const COLUMNS = [
  { name: 'Segment', value: (r) => r.kind },
  { name: 'Predicted', value: (r) => r.predicted_ns, text: time, number: true },
  { name: 'Replayed', value: (r) => (r.measured ? r.replayed_ns : 'not measured'), text: (v) => (typeof v === 'number' ? time(v) : v), number: true, hint: 'A serial replay takes the times of exchanges from the plan; they are not measured' },
  { name: 'Difference', value: (r) => (r.measured ? r.difference_ns : null), text: (v) => signed(v, time), number: true },
  { name: 'Relative', value: (r) => (r.measured ? r.relative_error : null), text: (v) => signed(v, percent), number: true },
  { name: 'Segments', value: (r) => r.segments, text: count, number: true },
  { name: 'Without prediction', value: (r) => r.unmatched, text: count, number: true, hint: 'Replayed segments that the plan did not predict; they are not in the sums' },
];

/** Converts sums over ranks to means per rank, which can be compared with a makespan. */
function perRank(entry, ranks) {
  const share = (ns) => (ns === null ? null : ns / ranks);
  return { ...entry, predicted_ns: share(entry.predicted_ns), replayed_ns: share(entry.replayed_ns), difference_ns: share(entry.difference_ns) };
}

export function ledgerOf(data, replay) {
  const rows = replay.ledger.map((entry) => perRank(entry, replay.ranks));
  const title = `Replay ${replay.id}: ${replay.transport}, ${clip(replay.device)}, ${plural(replay.cells, 'cell')}, ${replay.started_utc}: ${replay.grade}${replay.cores === null ? '' : `, ${replay.ranks} ranks on ${plural(replay.cores, 'core')}`}`;
  const makespan = {
    kind: rows.every((r) => r.measured) ? 'whole cells' : 'whole cells, composed', measured: true, predicted_ns: replay.predicted_ns, replayed_ns: replay.replayed_ns,
    difference_ns: replay.replayed_ns - replay.predicted_ns, relative_error: replay.relative_error, segments: null, unmatched: null,
  };
  const part = replay.measured_relative_error === null || rows.every((r) => r.measured) ? [] : [perRank({
    kind: 'measured part', measured: true, predicted_ns: replay.measured_predicted_ns, replayed_ns: replay.measured_replayed_ns,
    difference_ns: replay.measured_replayed_ns - replay.measured_predicted_ns, relative_error: replay.measured_relative_error, segments: null, unmatched: null,
  }, replay.ranks)];
  return h('div', { class: 'stack', 'data-ledger': replay.id }, h('h3', {}, title),
    rows.length ? null : note('This replay stored no segments.'),
    h('div', { class: 'charts' },
      rows.some((r) => r.measured && r.difference_ns !== null) ? waterfall(rows, replay.id) : null,
      table(COLUMNS, [...rows, ...part, makespan], { caption: `Ledger of replay ${replay.id}`, sql: sqlOf(data, 'v_ledger', `replay_id = ${replay.id}`) })));
}
