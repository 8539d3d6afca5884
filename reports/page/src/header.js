// SPDX-License-Identifier: Apache-2.0
// The header that stays in sight: workload, device and ranks, plan picker, chips, links to sections.
import { h, select } from './dom.js';
import { clip, count, ms, plural } from './format.js';

/** What a reader must know of a plan at any place of the page: [text, level, reason]. Pure. */
export function chipsOf(data, plan) {
  if (!plan) return [];
  const chips = [[`${plan.costs} costs`, plan.costs === 'measured' || plan.costs === 'fitted' ? 'good' : 'warning', 'where the times of the prediction come from']];
  const { replay, verification, cells } = plan.verdict;
  const meant = replay ? replay.cells_meant ?? replay.cells : 0;
  const evidence = replay && (replay.grade === 'replayed' || replay.grade === 'replayed serially');
  chips.push(replay ? [evidence ? `${replay.grade} ${count(meant)} of ${count(cells)} cells` : `replayed ${count(meant)} of ${count(cells)} cells: ${replay.grade}`, evidence ? 'good' : 'warning', `replay ${replay.id}`] : [`replayed 0 of ${count(cells)} cells`, 'warning', 'dbsp-replay runs a plan']);
  const verified = verification.state === 'passed' ? 'good' : verification.state === 'failed' ? 'error' : 'warning';
  chips.push([verification.state === 'failed' ? 'verification failed' : `verified ${count(verification.cells)} of ${count(cells)} cells`, verified, 'outputs against unsplit attention']);
  const all = [...data.notices, ...plan.notices];
  if (data.database && plan.database_hash && plan.database_hash !== data.database.measurement_hash) chips.push(['stale', 'warning', 'the plan is of other measurements than the database holds']);
  if (plan.replays.some((r) => r.grade === 'oversubscribed')) chips.push(['oversubscribed', 'warning', 'a replay had more ranks than cores']);
  const warnings = all.filter((n) => n.level !== 'note').length;
  if (warnings > 0) chips.push([plural(warnings, 'warning'), 'warning', 'listed under the verdict']);
  return chips;
}

function planPicker(data, store) {
  if (data.plans.length < 2) return null;
  const options = data.plans.map((plan, i) => [String(i), `${clip(plan.name, 28)}: ${clip(plan.workload.name, 24)}, ${plan.ranks} ranks, ${ms(plan.verdict.headline.ms)}`]);
  return h('label', { class: 'control', id: 'plan-choice' }, h('span', {}, 'Plan'), select(options, String(store.get().plan), (value) => store.set({ plan: Number(value) })));
}

const SHORT = { timeline: 'Timeline', masks: 'Masks', trust: 'Trust', search: 'Candidates', kernels: 'Kernels and links', compare: 'Comparison' };

/** Fills the header; `sections` are the section elements of the page. */
export function fillHeader(data, plan, store, sections) {
  const bar = document.getElementById('bar');
  const subtitle = document.getElementById('subtitle');
  const model = plan?.workload.model;
  subtitle.textContent = plan
    ? `${plan.ranks} × ${clip(plan.device, 40)}${model ? `, ${plural(model.steps, 'step')} × ${plural(model.layers, 'layer')}` : ''}${plan.passes > 1 ? `, ${plan.passes} guidance passes` : ''}`
    : data.database ? `Database ${clip(data.database.name)}` : 'No database';
  const links = sections.map((node) => h('li', {}, h('a', { href: `#${node.id}` }, SHORT[node.id] ?? node.querySelector('h2').textContent)));
  bar.replaceChildren(...[planPicker(data, store),
    h('ul', { class: 'chips', 'aria-label': 'State of the plan' }, chipsOf(data, plan).map(([text, level, why]) => h('li', { class: `chip ${level}`, title: why }, text))),
    h('nav', { 'aria-label': 'Sections' }, h('ul', {}, links))].filter(Boolean));
  return /** @type {NodeListOf<HTMLAnchorElement>} */ (bar.querySelectorAll('nav a'));
}

/** Marks the link of the section that is being read. */
export function markCurrent(links, sections) {
  let current = sections[0];
  const line = document.getElementById('top').getBoundingClientRect().bottom + 80;
  for (const node of sections) if (node.getBoundingClientRect().top <= line) current = node;
  const last = sections[sections.length - 1];
  if (globalThis.innerHeight + globalThis.scrollY >= document.documentElement.scrollHeight - 2) current = last;
  for (const link of links) {
    if (link.hash === `#${current.id}`) link.setAttribute('aria-current', 'true');
    else link.removeAttribute('aria-current');
  }
  return current;
}
