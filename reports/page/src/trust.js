// SPDX-License-Identifier: Apache-2.0
// How far the numbers can be trusted: replay against prediction, held-out errors of the fitted
// costs, close calls, and what the tuner assumed or left out.
import { axisX, axisY, dot, ruleY } from '@observablehq/plot';
import { h, later, note, section } from './dom.js';
import { count, percent, plural, time } from './format.js';
import { thinned, thinnedNote } from './format_units.js';
import { ledgerOf } from './ledger.js';
import { chart, legendOf } from './plot.js';
import { segmentsOf } from './streams.js';
import { dataTable, table } from './table.js';

/** Points that a chart draws. */
const MOST = 3000;

const OPERATION = { attention: 'Attention', pack: 'Copy', merge: 'Merge', alltoall: 'All-to-all', hop: 'Hop of a ring' };

const FITS = [
  { name: 'Operation', value: (f) => OPERATION[f.operation] ?? f.operation },
  { name: 'Kernel or ranks', value: (f) => f.name || null },
  { name: 'Points', value: (f) => f.points, text: count, number: true, hint: 'Measured configurations' },
  { name: 'Held-out error, median', value: (f) => f.median_error, text: percent, number: true, hint: 'Relative error of points that were left out of the fit' },
  { name: 'Held-out error, 90%', value: (f) => f.held_out_error, text: percent, number: true, hint: 'Bound on the relative error of 90% of such points' },
];

/** Predicted and replayed time per cell and kind of segment, mean per rank, of every shown replay:
 * [{cell, replay, kind, predicted, replayed, error}]. Kinds that a replay did not measure are left
 * out. Pure. */
export function residualsOf(plan, kinds) {
  const rows = [];
  const sums = (columns) => {
    const total = kinds.map(() => 0);
    for (let i = 0; i < columns.rank.length; ++i) total[columns.kind[i]] += columns.duration_ns[i];
    return total;
  };
  const measured = new Map(plan.replays.map((r) => [r.id, new Set(r.ledger.filter((e) => e.measured).map((e) => e.kind))]));
  for (const cell of plan.shown) {
    if (!cell.predicted || cell.replayed.length === 0) continue;
    const predicted = sums(segmentsOf(cell.predicted));
    for (const replay of cell.replayed) {
      const replayed = sums(segmentsOf(replay.segments));
      kinds.forEach((kind, k) => {
        if (predicted[k] <= 0 || replayed[k] <= 0 || !measured.get(replay.replay_id)?.has(kind)) return;
        const a = predicted[k] / cell.ranks;
        const b = replayed[k] / (cell.ranks * cell.pass_groups);
        rows.push({ cell, replay: replay.replay_id, kind, predicted: a, replayed: b, error: b / a - 1 });
      });
    }
  }
  return rows;
}

function residualView(plan, kinds) {
  const all = residualsOf(plan, kinds);
  if (all.length === 0) return note('No replayed cell has segments that were measured, so there are no residuals.');
  const ids = plan.replays.map((r) => r.id).filter((id) => all.some((r) => r.replay === id));
  return h('div', { class: 'charts' }, ids.map((id) => {
    const rows = all.filter((r) => r.replay === id);
    const fit = plan.tuning.fits.find((f) => f.operation === 'attention');
    const bound = fit?.held_out_error ?? null;
    const attention = rows.filter((r) => r.kind === 'attention');
    const inside = bound === null ? null : attention.filter((r) => Math.abs(r.error) <= bound).length;
    const errors = rows.map((r) => Math.abs(r.error)).sort((a, b) => a - b);
    // One far point must not flatten the others: it stands at the edge.
    const most = Math.max(0.05, bound ?? 0, errors[Math.floor(0.98 * (errors.length - 1))]) * 1.1;
    const used = kinds.filter((kind) => rows.some((r) => r.kind === kind));
    const figure = chart({
      title: `Replay ${id}: replayed time over predicted time, minus 1`,
      label: `Residuals of replay ${id}: ${used.map((kind) => `${kind} ${plural(rows.filter((r) => r.kind === kind).length, 'cell')}`).join(', ')}.`,
      legend: legendOf([...used.map((kind) => [kind, `part-${kind} round`]), ...(bound === null ? [] : [['held-out bound of attention, 90%', 'bound-key']])]),
      attributes: { 'data-residuals': rows.length },
      options: (width) => ({
        height: 250, marginLeft: 52, marginBottom: 34,
        x: { type: 'log', label: 'predicted, mean per rank', labelArrow: 'right' }, y: { domain: [Math.max(-1, -most), most], clamp: true, label: null },
        marks: [
          axisX({ ticks: width < 500 ? 3 : 6, tickFormat: (d) => time(d), labelAnchor: 'right' }), axisY({ ticks: 5, tickFormat: (d) => `${d > 0 ? '+' : d < 0 ? '−' : ''}${percent(Math.abs(d))}` }),
          ruleY([0], { className: 'zero' }), bound === null ? null : ruleY([-bound, bound], { className: 'bound' }),
          dot(thinned(rows, MOST), { x: 'predicted', y: 'error', r: 2.6, fill: (r) => `var(--part-${r.kind})`, fillOpacity: 0.75, title: (r) => `step ${r.cell.step}, layer ${r.cell.layer}, ${r.kind}: ${time(r.predicted)} predicted, ${time(r.replayed)} replayed` }),
        ],
        color: { type: 'identity' },
      }),
    });
    return h('div', {}, figure,
      inside === null ? note('The plan stores no held-out bound for attention.') : note(`${count(inside)} of ${count(attention.length)} attention times are within the held-out bound of ${percent(bound)}; about 90% are expected.`),
      rows.length > MOST ? note(thinnedNote(rows, MOST)) : null,
      dataTable('Table of these residuals', [
        { name: 'Step', value: (r) => r.cell.step, number: true }, { name: 'Layer', value: (r) => r.cell.layer, number: true }, { name: 'Segment', value: (r) => r.kind },
        { name: 'Predicted', value: (r) => r.predicted, unit: 'time', number: true }, { name: 'Replayed', value: (r) => r.replayed, unit: 'time', number: true }, { name: 'Error', value: (r) => r.error, text: percent, number: true },
      ], rows, `Residuals of replay ${id}, mean per rank`));
  }));
}

function fitsView(plan) {
  const { fits } = plan.tuning;
  if (fits.length === 0) {
    return note(plan.tuning.known ? `The costs are ${plan.costs}. They were not fitted to measurements, so no held-out error is known.` : 'The plan does not store the held-out errors of its costs.');
  }
  return table(FITS, fits, { caption: 'Errors of the fitted costs on measurements that the fit did not use' });
}

function closeCallsView(plan) {
  const { known, close_calls: calls } = plan.tuning;
  if (!known) return note('The plan does not say which cells are close calls.');
  if (calls.step.length === 0) return note('No cell is a close call: no other strategy may be faster within the errors of the costs.');
  const predicted = new Map(plan.cells.step.map((step, i) => [`${step},${plan.cells.layer[i]}`, plan.predictions[plan.cells.prediction[i]].total_ns]));
  const rows = calls.step.map((step, i) => ({
    step, layer: calls.layer[i], rival: calls.rival[i], rivalTime: calls.rival_ns[i], chosen: predicted.get(`${step},${calls.layer[i]}`) ?? null,
  }));
  return table([
    { name: 'Step', value: (r) => r.step, number: true }, { name: 'Layer', value: (r) => r.layer, number: true },
    { name: 'Chosen takes', value: (r) => r.chosen, unit: 'time', number: true },
    { name: 'Rival', value: (r) => r.rival }, { name: 'Rival takes', value: (r) => r.rivalTime, unit: 'time', number: true, hint: 'Predicted, one pass' },
  ], rows, { caption: `Close calls: ${plural(rows.length, 'cell')} of ${count(plan.cells_total)}`, filter: rows.length > 15 });
}

export function trustSection(data, plan, unpacked) {
  const { notes } = plan.tuning;
  return section('trust', 'Trust: replay against prediction, errors, assumptions',
    h('h3', {}, 'Replay against prediction'),
    plan.replays.length === 0 ? note('No replay of this plan is stored.') : later(unpacked, () => residualView(plan, data.segment_kinds)),
    plan.replays.length === 0 ? null : note('Ledger: time is the mean per rank of one wave of passes, summed over the cells of the plan that the replayed cells stand for; a positive difference means that the replay took longer than predicted. “Whole cells” compares makespans. Times that a serial replay copies from the plan are not measured and have no error.'),
    plan.replays.map((replay) => ledgerOf(data, replay)),
    h('h3', {}, 'Errors of the costs'),
    h('div', { class: 'stack' }, fitsView(plan), closeCallsView(plan)),
    notes.length === 0 ? null : h('div', { 'data-notes': notes.length }, h('h3', {}, 'What the tuner assumed or left out'), h('ul', { class: 'assumptions' }, notes.map((text) => h('li', {}, text)))));
}
