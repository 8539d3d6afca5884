// SPDX-License-Identifier: Apache-2.0
// The verdict: the answer in words beside the ladder, then the numbers behind it, and notices.
import { h, section } from './dom.js';
import { clip, count, DASH, interval, ms, percent, plural, scientific, signed, times } from './format.js';
import { ladderView } from './ladder.js';

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

function chosenText(plan) {
  const [first] = plan.strategies.filter((s) => s.cells > 0).sort((a, b) => b.cells - a.cells);
  if (!first) return { value: DASH, detail: 'the plan has no cells' };
  const others = plan.strategies.filter((s) => s.cells > 0).length - 1;
  const share = `in ${count(first.cells)} of ${plural(plan.verdict.cells, 'cell')}`;
  return { value: first.label, detail: others > 0 ? `${share}; ${plural(others, 'other strategy').replace('strategys', 'strategies')} elsewhere` : share };
}

const TIME_TITLE = {
  replayed: 'Attention time, replayed',
  'replayed serially': 'Attention time, ranks replayed one after the other',
  predicted: 'Predicted attention time',
};

/** The time by the best evidence: replayed on devices, else replayed serially, else predicted. */
function timeCard(verdict) {
  const { headline } = verdict;
  const range = interval(verdict.low_ms, verdict.high_ms, ms);
  const side = verdict.cfg_degree > 1 ? `, ${verdict.cfg_degree} of them at the same time on ${verdict.pass_ranks} ranks each` : '';
  const predicted = headline.source === 'predicted' ? `${range}; ` : `Predicted ${ms(verdict.predicted_ms)}, ${range}; `;
  const ranks = verdict.pass_ranks * verdict.cfg_degree;
  const detail = `${predicted}lower bound ${ms(verdict.lower_bound_ms)}. ${plural(verdict.cells, 'cell')}, ${plural(verdict.passes, 'pass').replace('passs', 'passes')}${side}. ${plural(ranks, 'rank')} × ${ms(headline.ms)} = ${ms(headline.ms * ranks)} of device time.`;
  return card(TIME_TITLE[headline.source], ms(headline.ms), detail, { 'data-card': 'time', 'data-source': headline.source });
}

const GRADE = {
  replayed: 'on the devices of the plan',
  'replayed serially': 'ranks one after the other on one device, exchange times from the plan',
  oversubscribed: 'more ranks than cores, so the times say little',
  'other device': 'not on the device that the plan is for, so the times say little',
  failed: 'its outputs were wrong',
};

function replayedCard(verdict) {
  const replay = verdict.replay;
  if (!replay) return card('Replayed', DASH, 'This plan was not replayed yet; dbsp-replay does it.', { 'data-card': 'replayed' });
  const measured = replay.measured_relative_error === null ? ''
    : `; ${signed(replay.measured_relative_error, percent)} on the segments that were measured`;
  const cells = replay.cells_meant === null
    ? `${plural(replay.cells, 'cell')} replayed; this database does not say how many cells of the plan they stand for, so each counts once`
    : `${plural(replay.cells, 'cell')} replayed, standing for ${count(replay.cells_meant)} of ${count(verdict.cells)}`;
  const scope = replay.whole ? 'Replayed' : `Replayed: ${count(replay.cells_meant ?? replay.cells)} of ${plural(verdict.cells, 'cell')}`;
  const text = `${cells}; predicted ${ms(replay.predicted_ms)} for the same cells${measured}. Replay ${replay.id}, ${replay.transport}: ${GRADE[replay.grade]}.`;
  return card(scope, ms(replay.replayed_ms), text, { 'data-card': 'replayed', 'data-grade': replay.grade });
}

const CHANCE_SHOWN = 0.001;
const chance = (value) => (value < CHANCE_SHOWN ? 'below 0.1%' : percent(value));

function gainText(b) {
  const range = b.gain_low === null ? 'one run of each plan, so no interval' : interval(b.gain_low, b.gain_high, times);
  const cells = b.cells === b.cells_total ? '' : `, on ${count(b.cells)} of ${plural(b.cells_total, 'cell')}`;
  const flip = b.flip_chance === null ? '' : `; chance of the other order ${chance(b.flip_chance)}`;
  return `${b.kind} ${times(b.gain)}, ${range}${cells}${flip} (${clip(b.source)})`;
}

function gainCard(family, verdict) {
  const rows = verdict.baselines.filter((b) => b.family === family);
  const title = `Gain over plain ${family}`;
  const [main] = rows;
  if (!main) {
    const missing = verdict.missing_baselines.find((m) => m.family === family);
    return card(title, DASH, `There is no comparable baseline: ${missing?.reason ?? 'none was given'}.`, { 'data-card': `gain-${family}` });
  }
  return card(title, times(main.gain), `${main.verdict}: ${rows.map(gainText).join('; ')}.`, { 'data-card': `gain-${family}`, 'data-kind': main.kind });
}

const VERIFIED = {
  passed: ['Passed', 'the output agrees with the reference on one rank'],
  failed: ['Failed', 'the output differs from the reference on one rank'],
  unverified: ['Not verified', 'the plan was replayed without --verify'],
  none: [DASH, 'the plan was not replayed yet'],
};

function verificationCard(verification) {
  const [value, text] = VERIFIED[verification.state] ?? [verification.state, ''];
  const errors = verification.max_relative_error === null ? '' :
    `; relative error ${scientific(verification.max_relative_error)}, largest difference ${scientific(verification.max_abs_error)}${verification.max_lse_error === null ? '' : `, log-sum-exp within ${scientific(verification.max_lse_error)}`} over ${plural(verification.cells, 'cell')}`;
  return card('Verification', value, text + errors, { 'data-card': 'verification', 'data-state': verification.state });
}

const TOPIC = { answer: 'Is it faster?', run: 'What to run', why: 'Why', left: 'What is left', sure: 'How sure', next: 'Next' };

/** The verdict in words: the answer first and large, then one line per question. */
function sentences(list) {
  const [answer, ...rest] = list;
  return h('div', { class: 'words', 'data-verdict': answer.topic },
    h('p', { class: 'answer' }, answer.text),
    h('dl', {}, rest.map(({ topic, text }) => [h('dt', {}, TOPIC[topic] ?? topic), h('dd', { 'data-topic': topic }, text)])));
}

export function verdictSection(plan, notes) {
  const chosen = chosenText(plan);
  const v = plan.verdict;
  return section('verdict', 'Verdict',
    h('div', { class: 'first-screen' }, sentences(v.sentences), ladderView(plan)),
    h('div', { class: 'cards' },
      card('Chosen strategy', chosen.value, chosen.detail, { 'data-card': 'chosen' }),
      timeCard(v), replayedCard(v),
      gainCard('ulysses', v), gainCard('ring', v),
      verificationCard(v.verification)),
    notices([...notes, ...plan.notices]),
    h('p', { class: 'note' }, 'A baseline has the workload, ranks and costs of the plan; it runs one pass after the other, tokens in the given order. ',
      'The interval of a predicted gain holds it with a chance of 90%: errors of shared rates count for the differences, the held-out error of the fit for both sides. ',
      'Same: less than 2% apart. Faster, slower: the whole interval is on one side of 1. Ambiguous: it is not. ',
      'Times are those of attention with its exchanges, without the rest of the model.'));
}
