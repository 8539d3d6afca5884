// SPDX-License-Identifier: Apache-2.0
// Draws the page from its data document and sets <body data-ready> when it is complete.
import { compareSection } from './candidates.js';
import { readDocument } from './data.js';
import { guarded, guardedSection, h, labelled, note, section, select } from './dom.js';
import { clip, ms, plural } from './format.js';
import { ledgerSection } from './ledger.js';
import { loadView } from './load.js';
import { matrixSection } from './matrix.js';
import { measurementsSection } from './measurements.js';
import { provenanceSection } from './provenance.js';
import { timelineView } from './timeline.js';
import { trustSection } from './trust.js';
import { notices, verdictSection } from './verdict.js';

/** Load and timeline of one cell, with the control that selects the cell. */
function cellSections(data, plan) {
  const load = h('div');
  const timeline = h('div');
  const show = (index) => {
    const cell = plan.shown[index];
    load.replaceChildren(guarded(() => loadView(cell)));
    timeline.replaceChildren(guarded(() => timelineView(cell, plan, data.segment_kinds)));
  };
  if (plan.shown.length === 0) return [section('load', 'Load per rank', note('The plan has no cells.'))];
  const options = plan.shown.map((cell, i) => [String(i),
    `step ${cell.step}, layer ${cell.layer}: ${plan.strategies[cell.strategy].label} (${cell.same_cells > 1 ? `${plural(cell.same_cells, 'equal cell')}` : 'one cell'})`]);
  const pickers = [];
  const choose = (value) => {
    for (const picker of pickers) picker.value = value;
    show(Number(value));
  };
  for (let i = 0; i < 2; ++i) pickers.push(select(options, '0', choose));
  const some = plan.shown_total > plan.shown.length
    ? note(`This page contains ${plan.shown.length} of ${plan.shown_total} distinct cells: those that take the most time.`)
    : note(`${plural(plan.shown_total, 'distinct cell')}. Cells with equal masks and strategy are shown once.`);
  const sections = [
    section('load', 'Load per rank', labelled('Cell', pickers[0]), some, load),
    section('timeline', 'Timeline', labelled('Cell', pickers[1]), timeline),
  ];
  // Charts measure their container, so they are drawn after it was added to the page.
  queueMicrotask(() => show(0));
  return sections;
}

/** Id, title and function of every section in the order of the page. A section that fails shows the
 * reason in its place; the others are drawn. */
function sectionsOf(data, plan, index) {
  const verdict = plan ? () => verdictSection(plan, data.notices)
    : () => section('verdict', 'Verdict', note(data.database ? 'No plan was given and the database has none, so there is nothing to judge yet.' : 'No plan was given, so there is nothing to judge yet.'), notices(data.notices));
  const list = [
    ['verdict', 'Verdict', verdict],
    ['compare', 'Candidates', () => compareSection(data, plan, plan ? index : -1)],
    plan && ['load', 'Load and timeline', () => cellSections(data, plan)],
    plan && ['matrix', 'Strategy of every step and layer', () => matrixSection(plan)],
    plan && ['ledger', 'Ledger', () => ledgerSection(plan)],
    plan && ['trust', 'Trust', () => trustSection(plan)],
    ['measurements', 'Measurements', () => measurementsSection(data)],
    ['provenance', 'Provenance', () => provenanceSection(data, plan)],
  ];
  return list.filter(Boolean).flatMap(([id, title, make]) => guardedSection(id, title, make));
}

function contents(sections) {
  return h('nav', { 'aria-label': 'Sections' }, h('ul', {}, sections.map((node) =>
    h('li', {}, h('a', { href: `#${node.id}` }, node.querySelector('h2').textContent.split(':')[0])))));
}

function draw(data) {
  const root = document.getElementById('content');
  const nav = document.getElementById('contents');
  const show = (index) => {
    const plan = data.plans[index];
    const parts = sectionsOf(data, plan, index);
    nav.replaceChildren(contents(parts));
    root.replaceChildren(...parts);
  };
  const subtitle = document.getElementById('subtitle');
  const source = data.database ? `Database ${data.database.name}` : 'No database';
  subtitle.textContent = `${source}, ${plural(data.plans.length, 'plan')}, made ${data.created_utc}`;
  if (data.plans.length > 1) {
    const options = data.plans.map((plan, i) => [String(i), `${clip(plan.name)}: ${clip(plan.workload.name, 40)}, ${plan.ranks} ranks, ${ms(plan.verdict.headline.ms)} ${plan.verdict.headline.source}`]);
    document.getElementById('plan-choice').append(labelled('Plan', select(options, '0', (value) => show(Number(value)))));
  }
  show(0);
}

async function start() {
  const content = document.getElementById('content');
  try {
    const data = await readDocument();
    draw(data);
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    document.body.dataset.ready = 'ok';
  } catch (error) {
    content.replaceChildren(h('p', { class: 'failure', role: 'alert' }, `This page cannot be shown: ${error.message}`));
    document.body.dataset.ready = 'failed';
    throw error;
  }
}

start();
