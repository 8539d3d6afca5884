// SPDX-License-Identifier: Apache-2.0
// Where the attention time of a video goes, one bar per strategy: balanced attention, waiting for
// the slowest rank, exposed exchanges and copies, contention.
import { axisX, axisY, barX, dot, ruleX, ruleY, text } from '@observablehq/plot';
import { h, note } from './dom.js';
import { clip, DASH, interval, ms, times } from './format.js';
import { chart, legendOf } from './plot.js';
import { dataTable } from './table.js';

const PARTS = [
  ['balanced_ms', 'attention, balanced', 'attention'],
  ['waiting_ms', 'waiting for the slowest rank', 'waiting'],
  ['exposed_ms', 'exposed exchanges and copies', 'exchange'],
  ['contention_ms', 'slowed by concurrent exchanges', 'contention'],
];

/** Bars end to end, as {rung, part, from, to} in ms. A rung without a division is one bar. Pure. */
export function piecesOf(ladder) {
  return ladder.flatMap((rung) => {
    let at = 0;
    return PARTS.flatMap(([key, name, part]) => {
      const size = rung[key] ?? 0;
      if (size <= 0) return [];
      const piece = { label: rung.label, name, part, from: at, to: at + size };
      at = piece.to;
      return [piece];
    });
  });
}

/** One unit for all numbers of the chart: [milliseconds per unit, name].
 * @returns {[number, string]} */
export function unitOfMs(largest) {
  return largest >= 1e3 ? [1e3, 's'] : largest >= 1 ? [1, 'ms'] : [1e-3, 'µs'];
}

function summary(ladder, bound) {
  return `Attention time per strategy: ${ladder.map((r) => `${r.label} ${ms(r.total_ms)}`).join(', ')}. No strategy can be below ${ms(bound)}.`;
}

function options(ladder, bound, width) {
  const [unit, unitName] = unitOfMs(Math.max(...ladder.map((r) => r.total_ms)));
  const scaled = (value) => value / unit;
  const plan = ladder[ladder.length - 1];
  const narrow = width < 460;
  const name = (label) => clip(label, narrow ? 15 : 34);
  const names = new Map(ladder.map((r) => [r.label, name(r.label)]));
  const largest = Math.max(...ladder.map((r) => Math.max(r.high_ms, r.replayed_ms ?? 0, r.total_ms)));
  const worth = (r) => (r.kind === 'plan' ? '' : `  ${times(r.total_ms / plan.total_ms)}`);
  return {
    height: ladder.length * 44 + 56, marginLeft: narrow ? 104 : 236, marginRight: narrow ? 56 : 118, marginTop: 22, marginBottom: 30,
    x: { domain: [0, scaled(largest)], grid: true, label: null }, y: { domain: ladder.map((r) => r.label), label: null, padding: 0.42 },
    marks: [
      axisX({ ticks: narrow ? 4 : 6, tickFormat: (d) => `${d} ${unitName}` }),
      axisY({ tickSize: 0, tickFormat: (label) => names.get(label) }),
      barX(piecesOf(ladder), { x1: (d) => scaled(d.from), x2: (d) => scaled(d.to), y: 'label', fill: (d) => `var(--part-${d.part})`, title: (d) => `${d.label}: ${d.name} ${ms(d.to - d.from)}` }),
      // The whisker is below the bar, so that it covers no part.
      ruleY(ladder, { x1: (r) => scaled(r.low_ms), x2: (r) => scaled(r.high_ms), y: 'label', dy: 15, className: 'whisker' }),
      dot(ladder.filter((r) => r.replayed_ms !== null), { x: (r) => scaled(r.replayed_ms), y: 'label', symbol: 'diamond', r: 6, className: 'replayed', title: (r) => `${r.label}: replayed ${ms(r.replayed_ms)}` }),
      bound > 0 ? ruleX([scaled(bound)], { className: 'bound' }) : null,
      bound > 0 ? text([scaled(bound)], { x: (d) => d, frameAnchor: 'top', dy: -14, text: () => `bound ${ms(bound)}`, className: 'bound-name' }) : null,
      text(ladder, { x: (r) => scaled(Math.max(r.total_ms, r.replayed_ms ?? 0)), y: 'label', dx: 8, textAnchor: 'start', text: (r) => `${ms(r.total_ms)}${narrow ? '' : worth(r)}`, className: 'value' }),
    ],
    color: { type: 'identity' },
  };
}

export function ladderView(plan) {
  const { ladder, lower_bound_ms: bound } = plan.verdict;
  if (ladder.length === 0) return note('The plan has no cells.');
  const figure = chart({
    title: 'Attention time of one video, and where it goes',
    label: summary(ladder, bound),
    attributes: { 'data-ladder': '' },
    legend: legendOf([...PARTS.filter(([key]) => ladder.some((r) => (r[key] ?? 0) > 0)).map(([, name, part]) => [name, `part-${part}`]),
      ['interval of the prediction', 'whisker-key'], ['no strategy can be below', 'bound-key'],
      ...(ladder.some((r) => r.replayed_ms !== null) ? [['replayed', 'diamond']] : [])]),
    options: (width) => options(ladder, bound, width),
  });
  const rows = [...ladder].reverse();
  return h('div', { class: 'ladder' }, figure,
    ladder.some((r) => r.kind === 'candidate') ? null : note('The best candidate of every family is shown with the output of dbsp-tune --compare --json, given with --compare.'),
    dataTable('Table of these bars', [
      { name: 'Strategy', value: (r) => r.label },
      { name: 'Time', value: (r) => r.total_ms * 1e6, unit: 'time', number: true },
      { name: 'Interval', value: (r) => r.low_ms, text: (_, r) => interval(r.low_ms, r.high_ms, ms), number: true },
      ...PARTS.map(([key, name]) => ({ name: name[0].toUpperCase() + name.slice(1), value: (r) => (r[key] === null ? null : r[key] * 1e6), unit: 'time', number: true })),
      { name: 'Replayed', value: (r) => (r.replayed_ms === null ? null : r.replayed_ms * 1e6), unit: 'time', number: true },
      { name: 'Time / this plan', value: (r) => r.total_ms / ladder[ladder.length - 1].total_ms, text: times, number: true },
      { name: 'Source', value: (r) => r.source || DASH },
    ], rows, 'Attention time per strategy, all cells and passes'));
}
