// SPDX-License-Identifier: Apache-2.0
// The chosen cell in numbers: time and bound, contract, loads before and after, other candidates.
import { axisX, axisY, dot, ruleX, ruleY } from '@observablehq/plot';
import { facts, h, note } from './dom.js';
import { bytes, interval, percent, ratio, time, times } from './format.js';
import { loadView } from './load.js';
import { chart, legendOf } from './plot.js';
import { dataTable } from './table.js';

/** Times of all candidates in a cell, from a compare document that has cells:
 * [{candidate, family, ns}], or null. Pure. */
export function candidatesOf(compare, step, layer) {
  if (!compare?.cells) return null;
  const { cells } = compare;
  const i = cells.step.findIndex((s, k) => s === step && cells.layer[k] === layer);
  if (i < 0) return null;
  return cells.total_us[cells.class[i]].flatMap((us, k) => (us === null ? [] : [{ candidate: compare.candidates[k], family: compare.candidates[k].family, ns: us * 1e3 }]));
}

const degreesOf = (c) => `C${c.cfg_degree ?? 1} U${c.ulysses_degree ?? '?'} R${c.ring_degree ?? '?'}, ${c.chunks ?? 1} chunks`;

function candidateDots(compare, plan, cell) {
  const all = candidatesOf(compare, cell.step, cell.layer);
  if (!all || all.length === 0) return note('The times of other candidates in this cell are in the output of dbsp-tune --compare --json --cells; give it with --compare.');
  // The document has the time of one pass. A candidate with cfg degree 2 runs both passes at once.
  const chosen = cell.time;
  const rows = all.map((d) => ({ ...d, step: d.ns * Math.ceil(plan.passes / (d.candidate.cfg_degree ?? 1)) })).map((d) => ({ ...d, worse: d.step / chosen }));
  const families = [...new Set(rows.map((d) => d.family))].sort((a, b) => Math.min(...rows.filter((d) => d.family === a).map((d) => d.worse)) - Math.min(...rows.filter((d) => d.family === b).map((d) => d.worse)));
  const most = Math.max(...rows.map((d) => d.worse));
  const shown = Math.min(most, 2.5);
  const cut = rows.filter((d) => d.worse > shown).length;
  const figure = chart({
    title: 'What else was tried', label: `Time of ${rows.length} candidates over the time of the plan, by family: ${families.map((f) => `${f} from ${times(Math.min(...rows.filter((d) => d.family === f).map((d) => d.worse)))}`).join(', ')}.`,
    legend: legendOf([['passes at the same time', 'dot-filled'], ['one pass after the other', 'dot-open'], ['this plan', 'bound-key']]),
    attributes: { 'data-candidates': rows.length },
    options: () => ({
      height: families.length * 22 + 46, marginLeft: 66, marginRight: 16, marginBottom: 28,
      x: { domain: [Math.min(1, ...rows.map((d) => d.worse)), shown], clamp: true, label: null }, y: { domain: families, label: null },
      marks: [
        axisX({ ticks: 5, tickFormat: (d) => `${d}×` }), axisY({ tickSize: 0 }),
        ruleY(families, { className: 'lane' }),
        ruleX([1], { className: 'bound' }),
        dot(rows.filter((d) => (d.candidate.cfg_degree ?? 1) === 1), { x: 'worse', y: 'family', r: 4, className: 'dot-open', title: (d) => `${d.family} ${degreesOf(d.candidate)}: ${time(d.step)}` }),
        dot(rows.filter((d) => (d.candidate.cfg_degree ?? 1) > 1), { x: 'worse', y: 'family', r: 4, className: 'dot-filled', title: (d) => `${d.family} ${degreesOf(d.candidate)}: ${time(d.step)}` }),
      ],
    }),
  });
  return h('div', {}, figure, cut > 0 ? note(`${cut} slower than ${times(shown)} stand at the right end.`) : null,
    dataTable('Table of these candidates', [
      { name: 'Family', value: (d) => d.family }, { name: 'C U R, chunks', value: (d) => degreesOf(d.candidate) },
      { name: 'Exchange', value: (d) => d.candidate.exchange }, { name: 'Time of a step', value: (d) => d.step, unit: 'time', number: true },
      { name: 'Time / this plan', value: (d) => d.worse, text: times, number: true },
    ], [...rows].sort((a, b) => a.step - b.step), `Candidates in step ${cell.step}, layer ${cell.layer}`));
}

function headline(cell) {
  const p = cell.prediction;
  const parts = [`${time(cell.time)} per step`];
  if (p.lower_bound_ns > 0) parts.push(`${percent(p.total_ns / p.lower_bound_ns - 1)} above its bound`);
  if (cell.gain !== null) parts.push(`${times(cell.gain)} plain ulysses`);
  return parts.join('; ');
}

export function cellPanel(data, plan, cell) {
  const p = cell.prediction;
  const compare = data.compare.find((c) => c.plans.includes(data.plans.indexOf(plan)) && c.cells);
  const slack = cell.rhoLimit === null ? null : `ρ up to ${ratio(cell.rhoLimit)}, ${percent(cell.rhoLimit / p.rho_barrier - 1)} above the present one`;
  return h('div', { class: 'detail-panel' },
    h('h3', {}, `Step ${cell.step}, layer ${cell.layer}: ${cell.strategy.label}`),
    h('p', { class: 'headline' }, headline(cell)),
    facts([
      ['One pass', `${time(p.total_ns)} (${interval(p.low_ns, p.high_ns, time)})`],
      ['Replayed', cell.replayed === null ? null : time(cell.replayed)], ['Lower bound', time(p.lower_bound_ns)],
      ['Compute of the slowest rank', time(p.compute_ns)], ['Exposed exchange and copies', time(p.exchange_ns)],
      ['Imbalance ρ', ratio(p.rho_barrier)], ['Contract', slack], ['Sent by the busiest rank', bytes(p.bytes_per_rank)],
      ['Q, K, V, O moved', percent(p.moved_fraction)], ['Kernel', cell.strategy.kernel || 'device default'],
      ['Close call', cell.close ? 'another strategy may be faster within the errors of the costs' : null],
    ]),
    h('h4', {}, 'Active blocks per rank, before and after'),
    cell.shown ? loadView(cell.shown) : note('The loads of this cell did not fit into the page.'),
    h('h4', {}, 'Candidates'), candidateDots(compare, plan, cell));
}
