// SPDX-License-Identifier: Apache-2.0
// Predicted against replayed, per kind of segment, signed.
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
  const most = Math.max(1, ...rows.map((r) => Math.abs(r.difference_ns ?? 0)));
  const x = scaleLinear([-most, most], [left + right, width - right]);
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
  const words = rows.map((r) => `${r.kind} ${signed(r.difference_ns, time)}`).join(', ');
  return svg(width, height, `Replayed minus predicted, mean per rank: ${words}`, marks, zero);
}

const COLUMNS = [
  { name: 'Segment', value: (r) => r.kind },
  { name: 'Predicted', value: (r) => r.predicted_ns, text: time, number: true },
  { name: 'Replayed', value: (r) => r.replayed_ns, text: time, number: true },
  { name: 'Difference', value: (r) => r.difference_ns, text: (v) => signed(v, time), number: true },
  { name: 'Relative', value: (r) => r.relative_error, text: (v) => signed(v, percent), number: true },
  { name: 'Segments', value: (r) => r.segments, text: count, number: true },
  { name: 'Without prediction', value: (r) => r.unmatched, text: count, number: true, hint: 'Replayed segments the plan predicted nothing for; not in the sums' },
];

/** The document sums over ranks; a mean per rank is easier to set beside a makespan. */
function perRank(entry, ranks) {
  const share = (ns) => (ns === null ? null : ns / ranks);
  return { ...entry, predicted_ns: share(entry.predicted_ns), replayed_ns: share(entry.replayed_ns), difference_ns: share(entry.difference_ns) };
}

function ledgerOf(replay) {
  const rows = replay.ledger.map((entry) => perRank(entry, replay.ranks));
  const title = `Replay ${replay.id}: ${replay.transport}, ${replay.device}, ${plural(replay.cells, 'cell')}, ${replay.started_utc}`;
  const makespan = {
    kind: 'whole cells', predicted_ns: replay.predicted_ns, replayed_ns: replay.replayed_ns,
    difference_ns: replay.replayed_ns - replay.predicted_ns, relative_error: replay.relative_error, segments: null, unmatched: null,
  };
  const host = h('div', { class: 'plot' });
  const known = rows.filter((r) => r.difference_ns !== null);
  if (known.length) responsive(host, (width) => bars(known, width));
  return h('div', { class: 'stack', 'data-ledger': replay.id }, h('h3', {}, title), known.length ? host : null,
    rows.length ? null : note('This replay stored no segments.'),
    table(COLUMNS, [...rows, makespan], { caption: `Ledger of replay ${replay.id}` }));
}

export function ledgerSection(plan) {
  return section('ledger', 'Ledger: predicted against replayed',
    plan.replays.length === 0
      ? note('No replay of this plan is stored.')
      : note('Time is the mean per rank of one wave of passes, summed over the cells of the plan that the replayed cells stand for; a positive difference means that the replay took longer than predicted. “Whole cells” compares makespans.'),
    plan.replays.map(ledgerOf));
}
