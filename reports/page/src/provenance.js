// SPDX-License-Identifier: Apache-2.0
// Origin of the numbers: plan, database, page, and the environments that wrote the database.
import { facts, h, note, section } from './dom.js';
import { bytes, count, ratio } from './format.js';

const DIRTY = { 1: ' (with uncommitted changes)', 0: '', [-1]: ' (unknown whether the tree had changes)' };

function environment(e) {
  const extra = Object.entries(e.extra).map(([name, value]) => [name, value]);
  return h('details', { class: 'twin' },
    h('summary', {}, `Environment ${e.id}: ${e.device_name || e.device_kind}, ${e.started_utc}`),
    facts([
      ['Device', `${e.device_kind}: ${e.device_name}`], ['UUID', e.device_uuid], ['Host', e.host],
      ['Cores', e.cores > 0 ? count(e.cores) : null], ['Memory', e.memory_bytes > 0 ? bytes(e.memory_bytes) : null],
      ['Compiler', e.compiler], ['Build', e.build_type],
      ['Commit', e.git_commit ? e.git_commit + (DIRTY[e.git_dirty] ?? '') : null], ['Version', e.version],
      ['Command', e.argv.join(' ')], ['Started', e.started_utc], ...extra,
    ]));
}

function databaseFacts(db) {
  if (!db) return note('No database was given. Give it with --db to see measurements and replays.');
  const outcomes = Object.entries(db.outcomes).filter(([, n]) => n > 0).map(([name, n]) => `${n} ${name}`);
  return facts([
    ['File', db.name], ['Hash of the measurements', db.measurement_hash], ['Schema', db.schema_version],
    ['Trials', outcomes.length ? outcomes.join(', ') : 'none'],
    ['Stored plans', count(db.plans)], ['Stored replays', count(db.replays)],
  ]);
}

function environments(db) {
  if (!db) return null;
  if (db.environments.length === 0) return note('The database has no environment, because nothing was measured yet.');
  return [db.environments.map(environment),
    db.environments_total > db.environments.length ? note(`The newest ${db.environments.length} of ${db.environments_total} environments are listed.`) : null];
}

function planFacts(plan) {
  const m = plan.workload.model;
  return facts([
    ['Plan', plan.name], ['Plan hash', plan.hash], ['Created', plan.created_utc], ['Created by', plan.generator],
    ['Device', plan.device], ['Cluster', plan.cluster], ['Costs', plan.costs],
    ['Ranks', plan.cfg_degree > 1 ? `${plan.ranks}, ${plan.cfg_degree} pass groups of ${plan.ranks / plan.cfg_degree}` : plan.ranks], ['Element type', plan.dtype],
    ['Workload', plan.workload.name], ['Workload hash', plan.workload.hash],
    ['Model', m && `${m.layers} layers, ${m.steps} steps, ${m.passes} CFG passes, grid ${m.grid}${m.text_tokens ? ` + ${m.text_tokens} text tokens` : ''}`],
    ['Attention', `${plan.shape.heads} heads × ${plan.shape.head_dim}, ${count(plan.shape.tokens)} tokens, blocks ${plan.shape.block}`],
    ['Masks', plan.workload.rules.join('; ')],
    ['Measurements used', plan.database_hash || 'none'],
    ['Mean imbalance ratio ρ', ratio(plan.verdict.rho_barrier_mean)],
  ]);
}

export function provenanceSection(data, plan) {
  return section('provenance', 'Provenance',
    h('div', { class: 'columns' },
      h('div', {}, h('h3', {}, 'Plan'), plan ? planFacts(plan) : note('No plan was given.')),
      h('div', {}, h('h3', {}, 'Database'), databaseFacts(data.database),
        h('h3', {}, 'Page'), facts([['Created', data.created_utc], ['Created by', data.generator]]))),
    environments(data.database));
}
