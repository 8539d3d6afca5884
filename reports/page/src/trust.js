// SPDX-License-Identifier: Apache-2.0
// How far the numbers can be trusted: held-out errors of the fitted costs, close calls, and what the
// tuner assumed or left out.
import { h, note, section } from './dom.js';
import { count, percent, plural, time } from './format.js';
import { table } from './table.js';

const OPERATION = { attention: 'Attention', pack: 'Copy', merge: 'Merge', alltoall: 'All-to-all', hop: 'Hop of a ring' };

const FITS = [
  { name: 'Operation', value: (f) => OPERATION[f.operation] ?? f.operation },
  { name: 'Kernel or ranks', value: (f) => f.name || null },
  { name: 'Points', value: (f) => f.points, text: count, number: true, hint: 'Measured configurations' },
  { name: 'Held-out error, median', value: (f) => f.median_error, text: percent, number: true, hint: 'Relative error of points that were left out of the fit' },
  { name: 'Held-out error, 90%', value: (f) => f.held_out_error, text: percent, number: true, hint: 'Bound on the relative error of 90% of such points' },
];

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
    { name: 'Chosen takes', value: (r) => r.chosen, text: time, number: true },
    { name: 'Rival', value: (r) => r.rival }, { name: 'Rival takes', value: (r) => r.rivalTime, text: time, number: true, hint: 'Predicted, one pass' },
  ], rows, { caption: `Close calls: ${plural(rows.length, 'cell')} of ${count(plan.cells_total)}`, filter: rows.length > 15 });
}

export function trustSection(plan) {
  const { notes } = plan.tuning;
  return section('trust', 'Trust: errors, close calls, assumptions',
    h('div', { class: 'stack' }, fitsView(plan), closeCallsView(plan)),
    notes.length === 0 ? null : h('div', { 'data-notes': notes.length }, h('h3', {}, 'What the tuner assumed or left out'), h('ul', { class: 'assumptions' }, notes.map((text) => h('li', {}, text)))));
}
