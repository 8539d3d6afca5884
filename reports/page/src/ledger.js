// SPDX-License-Identifier: Apache-2.0
// Predicted and replayed time per kind of segment, with the signed difference.
import { scaleLinear } from 'd3-scale';
import { KIND_COLOR } from './colors.js';
import { h, note, responsive, s, section, svg } from './dom.js';
import { count, percent, plural, signed, time } from './format.js';
import { table } from './table.js';

function bars(rows, width) {
  const left = 92;
  const right = 84;
  const row = 26;
  const height = rows.length * row + 8;
  const largest = Math.max(1, ...rows.map((r) => Math.abs(r.difference_ns ?? 0)));
  const x = scaleLinear([-largest, largest], [left + right, width - right]);
  const marks = rows.flatMap((r, i) => {
    const y = i * row + 4;
    const d = r.difference_ns ?? 0;
    const from = Math.min(x(0), x(d));
    const end = d < 0 ? x(d) - 6 : x(d) + 6;
    return [
      s('text', { class: 'axis-name', x: left - 8, y: y + 14, 'text-anchor': 'end' }, r.kind),
      s('rect', { x: from, y, width: Math.max(1, Math.abs(x(d) - x(0))), height: row - 8, fill: KIND_COLOR[r.kind] ?? 'var(--ink)' }),
      s('text', { class: 'axis-name', x: end, y: y + 14, 'text-anchor': d < 0 ? 'end' : 'start' }, signed(r.difference_ns, time)),
    ];
  });
  const zero = s('line', { class: 'mean', x1: x(0), x2: x(0), y1: 0, y2: height });
  const text = rows.map((r) => `${r.kind} ${signed(r.difference_ns, time)}`).join(', ');
  return svg(width, height, `Replayed minus predicted, mean per rank: ${text}`, marks, zero);
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

function ledgerOf(replay) {
  const rows = replay.ledger.map((entry) => perRank(entry, replay.ranks));
  const title = `Replay ${replay.id}: ${replay.transport}, ${replay.device}, ${plural(replay.cells, 'cell')}, ${replay.started_utc}: ${replay.grade}${replay.cores === null ? '' : `, ${replay.ranks} ranks on ${plural(replay.cores, 'core')}`}`;
  const makespan = {
    kind: rows.every((r) => r.measured) ? 'whole cells' : 'whole cells, composed', measured: true, predicted_ns: replay.predicted_ns, replayed_ns: replay.replayed_ns,
    difference_ns: replay.replayed_ns - replay.predicted_ns, relative_error: replay.relative_error, segments: null, unmatched: null,
  };
  const host = h('div', { class: 'plot' });
  const part = replay.measured_relative_error === null || rows.every((r) => r.measured) ? [] : [perRank({
    kind: 'measured part', measured: true, predicted_ns: replay.measured_predicted_ns, replayed_ns: replay.measured_replayed_ns,
    difference_ns: replay.measured_replayed_ns - replay.measured_predicted_ns, relative_error: replay.measured_relative_error, segments: null, unmatched: null,
  }, replay.ranks)];
  const known = rows.filter((r) => r.measured && r.difference_ns !== null);
  if (known.length) responsive(host, (width) => bars(known, width));
  return h('div', { class: 'stack', 'data-ledger': replay.id }, h('h3', {}, title), known.length ? host : null,
    rows.length ? null : note('This replay stored no segments.'),
    table(COLUMNS, [...rows, ...part, makespan], { caption: `Ledger of replay ${replay.id}` }));
}

export function ledgerSection(plan) {
  return section('ledger', 'Ledger: predicted against replayed',
    plan.replays.length === 0
      ? note('No replay of this plan is stored.')
      : note('Time is the mean per rank of one wave of passes, summed over the cells of the plan that the replayed cells stand for; a positive difference means that the replay took longer than predicted. “Whole cells” compares makespans. Times that a serial replay copies from the plan are not measured and have no error.'),
    plan.replays.map(ledgerOf));
}
