// SPDX-License-Identifier: Apache-2.0
// What was chosen, how fast it is said to be, how fast it was, and what to doubt.
import { facts, h, section } from './dom.js';
import { count, DASH, interval, ms, plural, ratio, scientific, signed, percent, times } from './format.js';

const ORDER = ['error', 'warning', 'note'];
const LEVEL = { error: 'Problem', warning: 'Warning', note: 'Note' };

export function notices(list) {
  if (list.length === 0) return null;
  const worstFirst = [...list].sort((a, b) => ORDER.indexOf(a.level) - ORDER.indexOf(b.level));
  return h('ul', { class: 'notices' }, worstFirst.map((notice) =>
    h('li', { class: `level-${notice.level}` }, h('strong', {}, LEVEL[notice.level] ?? notice.level), ' ', notice.text)));
}

function card(title, value, detail, extra = {}) {
  return h('div', { class: 'card', ...extra }, h('h3', {}, title), h('p', { class: 'value' }, value), h('p', { class: 'detail' }, detail));
}

const flag = (text) => h('code', {}, text);

function chosenText(plan) {
  const [first] = plan.strategies.filter((s) => s.cells > 0).sort((a, b) => b.cells - a.cells);
  if (!first) return { value: DASH, detail: 'the plan holds no cell' };
  const others = plan.strategies.filter((s) => s.cells > 0).length - 1;
  const share = `in ${count(first.cells)} of ${plural(plan.verdict.cells, 'cell')}`;
  return { value: first.label, detail: others > 0 ? `${share}; ${plural(others, 'other strategy').replace('strategys', 'strategies')} elsewhere` : share };
}

function predictedCard(verdict) {
  const range = interval(verdict.low_ms, verdict.high_ms, ms);
  const side = verdict.cfg_degree > 1 ? `, ${verdict.cfg_degree} at the same time on ${verdict.pass_ranks} ranks each` : '';
  const detail = `${range}; lower bound ${ms(verdict.lower_bound_ms)}. ${plural(verdict.cells, 'cell')}, ${plural(verdict.passes, 'pass').replace('passs', 'passes')}${side}.`;
  return card('Predicted attention time', ms(verdict.predicted_ms), detail, { 'data-card': 'predicted' });
}

function replayedCard(verdict) {
  const replay = verdict.replay;
  if (!replay) return card('Replayed', DASH, 'This plan was not replayed yet; dbsp-replay does it.', { 'data-card': 'replayed' });
  const off = replay.relative_error === null ? '' : `, ${signed(replay.relative_error, percent)} against the prediction`;
  const cells = replay.cells_meant === null
    ? `${plural(replay.cells, 'cell')} replayed; this database does not say how many cells of the plan they stand for, so each counts once`
    : `${plural(replay.cells, 'cell')} replayed, standing for ${count(replay.cells_meant)} of ${count(verdict.cells)}`;
  return card('Replayed', ms(replay.replayed_ms),
    `${cells}; ${plural(verdict.passes, 'pass').replace('passs', 'passes')}${off}; the same cells were predicted at ${ms(replay.predicted_ms)}. Transport ${replay.transport}, ${replay.exchange_source}.`,
    { 'data-card': 'replayed' });
}

function gainCard(family, baselines) {
  const rows = baselines.filter((b) => b.family === family);
  const title = `Gain over plain ${family}`;
  const main = rows.find((b) => b.kind === 'predicted') ?? rows[0];
  if (!main) {
    const words = ['Not known: give what ', flag('dbsp-tune --compare --json'), ' prints with ', flag('--compare'), ', or a plan of this family with ', flag('--plan'), '.'];
    return card(title, DASH, words, { 'data-card': `gain-${family}` });
  }
  const parts = rows.map((b) => b.kind === 'predicted'
    ? `predicted ${times(b.gain)}, ${interval(b.gain_low, b.gain_high, times)} (${b.source})`
    : `replayed ${times(b.gain)} (${b.source}; one run each, no interval)`);
  return card(title, times(main.gain), `${parts.join('; ')}.`, { 'data-card': `gain-${family}` });
}

const VERIFIED = {
  passed: ['Passed', 'equal to the unsplit reference'],
  failed: ['Failed', 'the output differs from the unsplit reference'],
  unverified: ['Not verified', 'replayed without --verify'],
  none: [DASH, 'not replayed yet'],
};

function verificationCard(verification) {
  const [value, words] = VERIFIED[verification.state] ?? [verification.state, ''];
  const errors = verification.max_relative_error === null ? '' :
    `; relative error ${scientific(verification.max_relative_error)}, largest difference ${scientific(verification.max_abs_error)}${verification.max_lse_error === null ? '' : `, log-sum-exp within ${scientific(verification.max_lse_error)}`} over ${plural(verification.cells, 'cell')}`;
  return card('Verification', value, words + errors, { 'data-card': 'verification', 'data-state': verification.state });
}

export function verdictSection(plan, notes) {
  const chosen = chosenText(plan);
  const v = plan.verdict;
  return section('verdict', 'Verdict',
    h('div', { class: 'cards' },
      card('Chosen strategy', chosen.value, chosen.detail, { 'data-card': 'chosen' }),
      predictedCard(v), replayedCard(v),
      gainCard('ulysses', v.baselines), gainCard('ring', v.baselines),
      verificationCard(v.verification)),
    notices([...notes, ...plan.notices]),
    h('p', { class: 'note' }, 'An interval of a gain divides the bounds of both times as if their errors were independent and at their worst, so it is wide. ',
      'Time is attention with its exchanges only, not the rest of the model.'));
}

export function planFacts(plan) {
  const m = plan.workload.model;
  return facts([
    ['Plan', plan.name], ['Plan hash', plan.hash], ['Made', plan.created_utc], ['By', plan.generator],
    ['Device', plan.device], ['Cluster', plan.cluster], ['Costs', plan.costs],
    ['Ranks', plan.cfg_degree > 1 ? `${plan.ranks}, ${plan.cfg_degree} pass groups of ${plan.ranks / plan.cfg_degree}` : plan.ranks], ['Element type', plan.dtype],
    ['Workload', plan.workload.name], ['Workload hash', plan.workload.hash],
    ['Model', m && `${m.layers} layers, ${m.steps} steps, ${m.passes} CFG passes, grid ${m.grid}${m.text_tokens ? ` + ${m.text_tokens} text tokens` : ''}`],
    ['Attention', `${plan.shape.heads} heads × ${plan.shape.head_dim}, ${count(plan.shape.tokens)} tokens, blocks ${plan.shape.block}`],
    ['Masks', plan.workload.rules.join('; ')],
    ['Tuned from database', plan.database_hash || 'none: costs are not from a database'],
    ['Mean barrier imbalance ρ', ratio(plan.verdict.rho_barrier_mean)],
  ]);
}

