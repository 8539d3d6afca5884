// SPDX-License-Identifier: Apache-2.0
// The SQL of every schema version, inside db/ only. docs/formats/database.md describes the tables
// and views and has example queries.
#pragma once

namespace dbsp::db {

/// Tables. Times are integer nanoseconds. A missing value is NULL, never 0 or -1.
inline constexpr const char* kTablesV1 = R"sql(
CREATE TABLE devices(
  id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  uuid TEXT NOT NULL,                    -- '' for a CPU
  UNIQUE(kind, name, uuid)
) STRICT;

CREATE TABLE environments(
  id INTEGER PRIMARY KEY,
  uid TEXT NOT NULL UNIQUE,              -- random; one process, also after an import
  device_id INTEGER NOT NULL REFERENCES devices(id),
  host TEXT NOT NULL,
  cores INTEGER NOT NULL,
  memory_bytes INTEGER NOT NULL,
  compiler TEXT NOT NULL,
  build_type TEXT NOT NULL,
  git_commit TEXT NOT NULL,
  git_dirty INTEGER CHECK (git_dirty IN (0, 1)),
  version TEXT NOT NULL,
  started_utc TEXT NOT NULL
) STRICT;

CREATE TABLE environment_args(
  environment_id INTEGER NOT NULL REFERENCES environments(id) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (environment_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE environment_extras(
  environment_id INTEGER NOT NULL REFERENCES environments(id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (environment_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE kernel_variants(
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE trials(
  id INTEGER PRIMARY KEY,
  environment_id INTEGER NOT NULL REFERENCES environments(id) ON DELETE CASCADE,
  key TEXT NOT NULL,                     -- canonical text of the configuration
  kind TEXT NOT NULL CHECK (kind IN ('attention', 'exchange', 'local')),
  suite TEXT NOT NULL,
  outcome TEXT NOT NULL CHECK (outcome IN ('ok', 'wrong', 'failed', 'timeout', 'unavailable')),
  detail TEXT NOT NULL,
  method TEXT NOT NULL,
  stop_reason TEXT NOT NULL,
  warmups INTEGER NOT NULL CHECK (warmups >= 0),
  discarded INTEGER NOT NULL CHECK (discarded >= 0),
  started_utc TEXT NOT NULL
) STRICT;
CREATE INDEX trials_by_key ON trials(key, outcome);
CREATE INDEX trials_by_environment ON trials(environment_id);

CREATE TABLE attention_trials(
  trial_id INTEGER PRIMARY KEY REFERENCES trials(id) ON DELETE CASCADE,
  kernel_id INTEGER NOT NULL REFERENCES kernel_variants(id),
  dtype TEXT NOT NULL CHECK (dtype IN ('f32', 'bf16')),
  heads INTEGER NOT NULL,
  head_dim INTEGER NOT NULL,
  block_q INTEGER NOT NULL,
  block_k INTEGER NOT NULL,
  q_blocks INTEGER NOT NULL,
  k_blocks INTEGER NOT NULL,
  pattern TEXT NOT NULL,
  seed INTEGER NOT NULL,                 -- 64 bits, read as signed
  kept_blocks INTEGER NOT NULL,
  active_rows INTEGER NOT NULL
) STRICT;

CREATE TABLE exchange_trials(
  trial_id INTEGER PRIMARY KEY REFERENCES trials(id) ON DELETE CASCADE,
  op TEXT NOT NULL,
  transport TEXT NOT NULL,
  ranks INTEGER NOT NULL CHECK (ranks >= 1),
  bytes_per_rank INTEGER NOT NULL CHECK (bytes_per_rank >= 0),
  unevenness REAL NOT NULL
) STRICT;

CREATE TABLE local_trials(
  trial_id INTEGER PRIMARY KEY REFERENCES trials(id) ON DELETE CASCADE,
  op TEXT NOT NULL,
  amount INTEGER NOT NULL CHECK (amount >= 0),
  head_dim INTEGER NOT NULL,
  block_q INTEGER NOT NULL,
  block_k INTEGER NOT NULL
) STRICT;

CREATE TABLE samples(
  trial_id INTEGER NOT NULL REFERENCES trials(id) ON DELETE CASCADE,
  position INTEGER NOT NULL,             -- order in which they were taken
  duration_ns INTEGER NOT NULL CHECK (duration_ns > 0),
  PRIMARY KEY (trial_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE plans(
  id INTEGER PRIMARY KEY,
  hash TEXT NOT NULL UNIQUE,
  json TEXT NOT NULL CHECK (json_valid(json)),
  stored_utc TEXT NOT NULL
) STRICT;

CREATE TABLE replays(
  id INTEGER PRIMARY KEY,
  environment_id INTEGER NOT NULL REFERENCES environments(id) ON DELETE CASCADE,
  plan_hash TEXT NOT NULL,               -- the plan itself may live in a file only
  workload_hash TEXT NOT NULL,
  device TEXT NOT NULL,
  transport TEXT NOT NULL,
  exchange_source TEXT NOT NULL,
  ranks INTEGER NOT NULL CHECK (ranks >= 1),
  verified INTEGER NOT NULL CHECK (verified IN (0, 1)),
  passed INTEGER NOT NULL CHECK (passed IN (0, 1)),
  started_utc TEXT NOT NULL
) STRICT;
CREATE INDEX replays_by_plan ON replays(plan_hash);

CREATE TABLE replay_cells(
  id INTEGER PRIMARY KEY,
  replay_id INTEGER NOT NULL REFERENCES replays(id) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  step INTEGER NOT NULL,
  layer INTEGER NOT NULL,
  predicted_ns INTEGER NOT NULL CHECK (predicted_ns >= 0),
  replayed_ns INTEGER NOT NULL CHECK (replayed_ns >= 0),
  relative_error REAL,                   -- NULL: not verified; infinite: output not comparable
  max_abs_error REAL,
  UNIQUE(replay_id, position)
) STRICT;

CREATE TABLE ledger_segments(
  cell_id INTEGER NOT NULL REFERENCES replay_cells(id) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  rank INTEGER NOT NULL,
  kind TEXT NOT NULL,
  segment_index INTEGER NOT NULL,
  start_ns INTEGER NOT NULL,
  replayed_ns INTEGER NOT NULL CHECK (replayed_ns >= 0),
  bytes INTEGER NOT NULL,
  predicted_ns INTEGER CHECK (predicted_ns >= 0),  -- NULL: the plan predicts no such segment
  PRIMARY KEY (cell_id, position)
) STRICT, WITHOUT ROWID;
)sql";

/// Fitted models, and views for the sqlite3 shell. Version 9 replaces v_trial_times
/// and v_ledger.
inline constexpr const char* kViewsAndFitsV2 = R"sql(
CREATE TABLE fits(
  id INTEGER PRIMARY KEY,
  model TEXT NOT NULL,                   -- form of the model, 'log-linear'
  target TEXT NOT NULL,                  -- what it predicts, 'attention', 'alltoall'
  subject TEXT NOT NULL,                 -- kernel, transport, ranks: what it holds for
  measurement_hash TEXT NOT NULL,
  trials INTEGER NOT NULL CHECK (trials >= 0),
  held_out_error REAL NOT NULL,          -- median |predicted - measured| / measured
  created_utc TEXT NOT NULL
) STRICT;

CREATE TABLE fit_parameters(
  fit_id INTEGER NOT NULL REFERENCES fits(id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  value REAL NOT NULL,
  PRIMARY KEY (fit_id, name)
) STRICT, WITHOUT ROWID;

CREATE VIEW v_trial_times AS
WITH ranked AS (
  SELECT trial_id, duration_ns,
    row_number() OVER (PARTITION BY trial_id ORDER BY duration_ns) AS place,
    count(*) OVER (PARTITION BY trial_id) AS total
  FROM samples)
SELECT trial_id, max(total) AS samples, min(duration_ns) AS min_ns,
  max(CASE WHEN place = (total + 3) / 4 THEN duration_ns END) AS q1_ns,
  avg(CASE WHEN place IN ((total + 1) / 2, (total + 2) / 2) THEN duration_ns END) AS median_ns,
  max(CASE WHEN place = (3 * total + 3) / 4 THEN duration_ns END) AS q3_ns,
  max(duration_ns) AS max_ns
FROM ranked GROUP BY trial_id;

CREATE VIEW v_attention AS
SELECT t.id AS trial_id, d.name AS device, v.name AS kernel, a.dtype, a.heads, a.head_dim,
  a.block_q || 'x' || a.block_k AS block, a.q_blocks, a.k_blocks, a.pattern,
  round(1.0 * a.kept_blocks / (a.heads * a.q_blocks * a.k_blocks), 4) AS density,
  a.kept_blocks, a.active_rows,
  s.median_ns, s.q1_ns, s.q3_ns,
  round(4.0 * a.kept_blocks * a.block_q * a.block_k * a.head_dim / s.median_ns, 2) AS gflops,
  s.samples, t.discarded, t.stop_reason, t.suite, e.git_commit
FROM attention_trials a JOIN trials t ON t.id = a.trial_id
JOIN kernel_variants v ON v.id = a.kernel_id
JOIN environments e ON e.id = t.environment_id JOIN devices d ON d.id = e.device_id
JOIN v_trial_times s ON s.trial_id = t.id
WHERE t.outcome = 'ok';

CREATE VIEW v_exchange AS
SELECT t.id AS trial_id, d.name AS device, x.op, x.transport, x.ranks, e.cores,
  x.bytes_per_rank, x.unevenness, s.median_ns, s.q1_ns, s.q3_ns,
  round(CASE WHEN x.op = 'hop' THEN 1.0 * x.bytes_per_rank
        ELSE 1.0 * x.bytes_per_rank * x.ranks / nullif(x.ranks - 1, 0) END / s.median_ns, 3)
    AS algbw_gbps,
  round(1.0 * x.bytes_per_rank / s.median_ns, 3) AS busbw_gbps,
  s.samples, t.discarded, t.stop_reason, t.suite, e.git_commit
FROM exchange_trials x JOIN trials t ON t.id = x.trial_id
JOIN environments e ON e.id = t.environment_id JOIN devices d ON d.id = e.device_id
JOIN v_trial_times s ON s.trial_id = t.id
WHERE t.outcome = 'ok';

CREATE VIEW v_local AS
SELECT t.id AS trial_id, d.name AS device, l.op, l.amount,
  CASE l.op WHEN 'pack' THEN 'bytes' ELSE 'rows' END AS unit,
  l.head_dim, l.block_q || 'x' || l.block_k AS block, s.median_ns, s.q1_ns, s.q3_ns,
  round(1.0 * l.amount / s.median_ns, 4) AS per_ns,
  s.samples, t.discarded, t.stop_reason, t.suite, e.git_commit
FROM local_trials l JOIN trials t ON t.id = l.trial_id
JOIN environments e ON e.id = t.environment_id JOIN devices d ON d.id = e.device_id
JOIN v_trial_times s ON s.trial_id = t.id
WHERE t.outcome = 'ok';

CREATE VIEW v_ledger AS
SELECT c.replay_id, r.transport, g.kind, count(*) AS segments,
  count(g.predicted_ns) AS predicted_segments,
  sum(g.predicted_ns) AS predicted_ns,
  sum(CASE WHEN g.predicted_ns IS NOT NULL THEN g.replayed_ns END) AS replayed_ns,
  round(100.0 * (sum(g.predicted_ns)
      - sum(CASE WHEN g.predicted_ns IS NOT NULL THEN g.replayed_ns END))
    / nullif(sum(CASE WHEN g.predicted_ns IS NOT NULL THEN g.replayed_ns END), 0), 2)
    AS error_percent,
  sum(CASE WHEN g.predicted_ns IS NULL THEN g.replayed_ns ELSE 0 END) AS unpredicted_ns
FROM ledger_segments g JOIN replay_cells c ON c.id = g.cell_id JOIN replays r ON r.id = c.replay_id
GROUP BY c.replay_id, g.kind;

CREATE VIEW v_provenance AS
SELECT e.id AS environment_id, d.kind, d.name AS device, e.host, e.cores,
  round(e.memory_bytes / 1e9, 1) AS memory_gb, e.compiler, e.build_type, e.git_commit,
  CASE e.git_dirty WHEN 1 THEN 'yes' WHEN 0 THEN 'no' ELSE 'unknown' END AS dirty,
  (SELECT value FROM environment_extras x WHERE x.environment_id = e.id AND x.name = 'governor')
    AS governor,
  (SELECT group_concat(value, ' ') FROM
    (SELECT value FROM environment_args a WHERE a.environment_id = e.id ORDER BY position)) AS argv,
  e.started_utc,
  (SELECT count(*) FROM trials t WHERE t.environment_id = e.id) AS trials,
  (SELECT count(*) FROM replays r WHERE r.environment_id = e.id) AS replays
FROM environments e JOIN devices d ON d.id = e.device_id;

CREATE VIEW v_discards AS
SELECT t.id AS trial_id, t.kind, t.key, t.outcome, t.discarded,
  (SELECT count(*) FROM samples s WHERE s.trial_id = t.id) AS kept, t.stop_reason, t.detail
FROM trials t WHERE t.outcome <> 'ok' OR t.discarded > 0;
)sql";

/// The ranks of a needed-only exchange receive different amounts, so there is no buffer size to
/// take algbw from: algbw is busbw.
inline constexpr const char* kNeededBandwidthV3 = R"sql(
DROP VIEW v_exchange;
CREATE VIEW v_exchange AS
SELECT t.id AS trial_id, d.name AS device, x.op, x.transport, x.ranks, e.cores,
  x.bytes_per_rank, x.unevenness, s.median_ns, s.q1_ns, s.q3_ns,
  round(CASE WHEN x.op IN ('hop', 'needed') THEN 1.0 * x.bytes_per_rank
        ELSE 1.0 * x.bytes_per_rank * x.ranks / nullif(x.ranks - 1, 0) END / s.median_ns, 3)
    AS algbw_gbps,
  round(1.0 * x.bytes_per_rank / s.median_ns, 3) AS busbw_gbps,
  s.samples, t.discarded, t.stop_reason, t.suite, e.git_commit
FROM exchange_trials x JOIN trials t ON t.id = x.trial_id
JOIN environments e ON e.id = t.environment_id JOIN devices d ON d.id = e.device_id
JOIN v_trial_times s ON s.trial_id = t.id
WHERE t.outcome = 'ok';
)sql";

/// Shapes and compiled parameters of kernels. Rows of older versions have only the name.
inline constexpr const char* kKernelFactsV4 = R"sql(
ALTER TABLE kernel_variants ADD COLUMN list TEXT CHECK (list IN ('blocks', 'keys'));
ALTER TABLE kernel_variants ADD COLUMN arch INTEGER;
ALTER TABLE kernel_variants ADD COLUMN head_dim INTEGER;      -- NULL: any, here and below
ALTER TABLE kernel_variants ADD COLUMN q_block INTEGER;
ALTER TABLE kernel_variants ADD COLUMN k_block INTEGER;
ALTER TABLE kernel_variants ADD COLUMN tile_m INTEGER;
ALTER TABLE kernel_variants ADD COLUMN tile_n INTEGER;
ALTER TABLE kernel_variants ADD COLUMN stages INTEGER;
ALTER TABLE kernel_variants ADD COLUMN threads INTEGER;
ALTER TABLE kernel_variants ADD COLUMN shared_bytes INTEGER;
ALTER TABLE kernel_variants ADD COLUMN deterministic INTEGER CHECK (deterministic IN (0, 1));

CREATE VIEW v_kernels AS
SELECT v.name AS kernel, v.list, v.arch, v.head_dim, v.q_block || 'x' || v.k_block AS block,
  v.tile_m || 'x' || v.tile_n AS tile, v.stages, v.threads, v.shared_bytes, v.deterministic,
  (SELECT count(*) FROM attention_trials a JOIN trials t ON t.id = a.trial_id
   WHERE a.kernel_id = v.id AND t.outcome = 'ok') AS trials,
  (SELECT count(*) FROM attention_trials a JOIN trials t ON t.id = a.trial_id
   WHERE a.kernel_id = v.id AND t.outcome <> 'ok') AS refused
FROM kernel_variants v;
)sql";

/// Number of hosts of an exchange. Exchanges of older versions were on one host.
inline constexpr const char* kExchangeNodesV5 = R"sql(
ALTER TABLE exchange_trials ADD COLUMN nodes INTEGER NOT NULL DEFAULT 1 CHECK (nodes >= 1);

DROP VIEW v_exchange;
CREATE VIEW v_exchange AS
SELECT t.id AS trial_id, d.name AS device, x.op, x.transport, x.ranks, x.nodes, e.cores,
  x.bytes_per_rank, x.unevenness, s.median_ns, s.q1_ns, s.q3_ns,
  round(CASE WHEN x.op IN ('hop', 'needed') THEN 1.0 * x.bytes_per_rank
        ELSE 1.0 * x.bytes_per_rank * x.ranks / nullif(x.ranks - 1, 0) END / s.median_ns, 3)
    AS algbw_gbps,
  round(1.0 * x.bytes_per_rank / s.median_ns, 3) AS busbw_gbps,
  s.samples, t.discarded, t.stop_reason, t.suite, e.git_commit
FROM exchange_trials x JOIN trials t ON t.id = x.trial_id
JOIN environments e ON e.id = t.environment_id JOIN devices d ON d.id = e.device_id
JOIN v_trial_times s ON s.trial_id = t.id
WHERE t.outcome = 'ok';
)sql";

/// Hardware counters of one launch of the work of a trial.
inline constexpr const char* kCountersV6 = R"sql(
CREATE TABLE trial_counters(
  trial_id INTEGER PRIMARY KEY REFERENCES trials(id) ON DELETE CASCADE,
  source TEXT NOT NULL CHECK (source IN ('cupti.range', 'nvml.gpm', 'none')),
  why TEXT NOT NULL                      -- what better sources said, '' when the best one worked
) STRICT;

CREATE TABLE trial_counter_values(
  trial_id INTEGER NOT NULL REFERENCES trial_counters(trial_id) ON DELETE CASCADE,
  name TEXT NOT NULL,
  value REAL NOT NULL,
  PRIMARY KEY (trial_id, name)
) STRICT, WITHOUT ROWID;

CREATE VIEW v_counters AS
SELECT c.trial_id, v.name AS kernel, a.pattern,
  round(1.0 * a.kept_blocks / (a.heads * a.q_blocks * a.k_blocks), 4) AS density,
  c.source, n.name, n.value, s.median_ns, c.why
FROM trial_counters c JOIN attention_trials a ON a.trial_id = c.trial_id
JOIN kernel_variants v ON v.id = a.kernel_id JOIN v_trial_times s ON s.trial_id = c.trial_id
LEFT JOIN trial_counter_values n ON n.trial_id = c.trial_id;
)sql";

/// Error of log-sum-exp (NULL: not verified, or stored by an older version), and the choices of
/// --tune-kernels. A final is a trial whose method ends in ".turns"; finals of one shape and
/// process were compared with each other. The detail of the chosen final names the default kernel
/// and the noise that the gain had to exceed. profiler/tune_kernels.cpp writes the detail.
inline constexpr const char* kLogSumExpAndTunedV7 = R"sql(
ALTER TABLE replay_cells ADD COLUMN lse_error REAL;

CREATE VIEW v_tuned AS
WITH finals AS (
  SELECT t.id AS trial_id, t.environment_id, t.detail, t.started_utc, v.name AS kernel, a.*,
    s.median_ns
  FROM trials t JOIN attention_trials a ON a.trial_id = t.id
  JOIN kernel_variants v ON v.id = a.kernel_id JOIN v_trial_times s ON s.trial_id = t.id
  WHERE t.outcome = 'ok' AND t.method LIKE '%.turns'),
chosen AS (
  SELECT *, CASE
      WHEN detail LIKE 'chosen over %' THEN substr(detail, 13, instr(detail, ': ') - 13)
      WHEN detail LIKE 'chosen: % does not work here%'
        THEN substr(detail, 9, instr(detail, ' does not work here') - 9)
      ELSE kernel END AS default_kernel
  FROM finals WHERE detail LIKE 'chosen%'),
met AS (
  SELECT c.trial_id, count(*) AS finalists, min(f.median_ns) AS fastest_ns,
    max(CASE WHEN f.kernel = c.default_kernel THEN f.median_ns END) AS default_ns
  FROM chosen c JOIN finals f ON f.environment_id = c.environment_id AND f.dtype = c.dtype
    AND f.heads = c.heads AND f.head_dim = c.head_dim AND f.block_q = c.block_q
    AND f.block_k = c.block_k AND f.q_blocks = c.q_blocks AND f.k_blocks = c.k_blocks
    AND f.pattern = c.pattern AND f.seed = c.seed AND f.kept_blocks = c.kept_blocks
  GROUP BY c.trial_id)
SELECT d.name AS device, c.kernel, c.default_kernel,
  CASE WHEN c.kernel <> c.default_kernel AND m.default_ns IS NULL THEN 'default failed'
    WHEN c.kernel <> c.default_kernel THEN 'switched'
    WHEN m.fastest_ns < c.median_ns THEN 'ambiguous' ELSE 'default' END AS verdict,
  round(100.0 * (1 - m.fastest_ns / m.default_ns), 2) AS gain_percent,
  CASE WHEN instr(c.detail, 'noise of inf') > 0 THEN 9e999  -- finals of one sample each
    WHEN instr(c.detail, 'noise of ') > 0
    THEN CAST(substr(c.detail, instr(c.detail, 'noise of ') + 9) AS REAL) END AS noise_percent,
  m.finalists, c.dtype, c.heads, c.head_dim, c.block_q || 'x' || c.block_k AS block, c.q_blocks,
  c.k_blocks, c.pattern,
  round(1.0 * c.kept_blocks / (c.heads * c.q_blocks * c.k_blocks), 4) AS density,
  c.median_ns, c.started_utc AS tuned_utc, e.git_commit, c.trial_id
FROM chosen c JOIN met m ON m.trial_id = c.trial_id
JOIN environments e ON e.id = c.environment_id JOIN devices d ON d.id = e.device_id;
)sql";

/// Attention concurrent with an exchange. An overlap has rows in attention_trials, exchange_trials
/// and overlap_trials. v_attention, v_exchange and v_kernels do not include overlaps.
inline constexpr const char* kOverlapsV8 = R"sql(
CREATE TABLE overlap_trials(
  trial_id INTEGER PRIMARY KEY REFERENCES trials(id) ON DELETE CASCADE,
  timed TEXT NOT NULL CHECK (timed IN ('attention', 'exchange')),
  sm_margin INTEGER NOT NULL CHECK (sm_margin >= 0)
) STRICT;

CREATE TABLE alone_samples(
  trial_id INTEGER NOT NULL REFERENCES trials(id) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  duration_ns INTEGER NOT NULL CHECK (duration_ns > 0),
  PRIMARY KEY (trial_id, position)
) STRICT, WITHOUT ROWID;

DROP VIEW v_attention;
CREATE VIEW v_attention AS
SELECT t.id AS trial_id, d.name AS device, v.name AS kernel, a.dtype, a.heads, a.head_dim,
  a.block_q || 'x' || a.block_k AS block, a.q_blocks, a.k_blocks, a.pattern,
  round(1.0 * a.kept_blocks / (a.heads * a.q_blocks * a.k_blocks), 4) AS density,
  a.kept_blocks, a.active_rows,
  s.median_ns, s.q1_ns, s.q3_ns,
  round(4.0 * a.kept_blocks * a.block_q * a.block_k * a.head_dim / s.median_ns, 2) AS gflops,
  s.samples, t.discarded, t.stop_reason, t.suite, e.git_commit
FROM attention_trials a JOIN trials t ON t.id = a.trial_id
JOIN kernel_variants v ON v.id = a.kernel_id
JOIN environments e ON e.id = t.environment_id JOIN devices d ON d.id = e.device_id
JOIN v_trial_times s ON s.trial_id = t.id
WHERE t.outcome = 'ok' AND t.id NOT IN (SELECT trial_id FROM overlap_trials);

DROP VIEW v_exchange;
CREATE VIEW v_exchange AS
SELECT t.id AS trial_id, d.name AS device, x.op, x.transport, x.ranks, x.nodes, e.cores,
  x.bytes_per_rank, x.unevenness, s.median_ns, s.q1_ns, s.q3_ns,
  round(CASE WHEN x.op IN ('hop', 'needed') THEN 1.0 * x.bytes_per_rank
        ELSE 1.0 * x.bytes_per_rank * x.ranks / nullif(x.ranks - 1, 0) END / s.median_ns, 3)
    AS algbw_gbps,
  round(1.0 * x.bytes_per_rank / s.median_ns, 3) AS busbw_gbps,
  s.samples, t.discarded, t.stop_reason, t.suite, e.git_commit
FROM exchange_trials x JOIN trials t ON t.id = x.trial_id
JOIN environments e ON e.id = t.environment_id JOIN devices d ON d.id = e.device_id
JOIN v_trial_times s ON s.trial_id = t.id
WHERE t.outcome = 'ok' AND t.id NOT IN (SELECT trial_id FROM overlap_trials);

DROP VIEW v_kernels;
CREATE VIEW v_kernels AS
SELECT v.name AS kernel, v.list, v.arch, v.head_dim, v.q_block || 'x' || v.k_block AS block,
  v.tile_m || 'x' || v.tile_n AS tile, v.stages, v.threads, v.shared_bytes, v.deterministic,
  (SELECT count(*) FROM attention_trials a JOIN trials t ON t.id = a.trial_id
   WHERE a.kernel_id = v.id AND t.outcome = 'ok'
     AND t.id NOT IN (SELECT trial_id FROM overlap_trials)) AS trials,
  (SELECT count(*) FROM attention_trials a JOIN trials t ON t.id = a.trial_id
   WHERE a.kernel_id = v.id AND t.outcome <> 'ok'
     AND t.id NOT IN (SELECT trial_id FROM overlap_trials)) AS refused
FROM kernel_variants v;

CREATE VIEW v_overlap AS
WITH ranked AS (
  SELECT trial_id, duration_ns,
    row_number() OVER (PARTITION BY trial_id ORDER BY duration_ns) AS place,
    count(*) OVER (PARTITION BY trial_id) AS total
  FROM alone_samples),
alone AS (
  SELECT trial_id,
    avg(CASE WHEN place IN ((total + 1) / 2, (total + 2) / 2) THEN duration_ns END) AS median_ns
  FROM ranked GROUP BY trial_id)
SELECT t.id AS trial_id, d.name AS device, o.timed, x.op, x.transport, x.ranks, o.sm_margin,
  x.bytes_per_rank, v.name AS kernel, a.heads, a.q_blocks, a.k_blocks, a.kept_blocks,
  n.median_ns AS alone_ns, s.median_ns AS beside_ns,
  round(1.0 * s.median_ns / n.median_ns, 3) AS slowdown,
  s.samples, t.discarded, t.stop_reason, t.suite, e.cores, e.git_commit
FROM overlap_trials o JOIN trials t ON t.id = o.trial_id
JOIN attention_trials a ON a.trial_id = o.trial_id JOIN kernel_variants v ON v.id = a.kernel_id
JOIN exchange_trials x ON x.trial_id = o.trial_id
JOIN environments e ON e.id = t.environment_id JOIN devices d ON d.id = e.device_id
JOIN v_trial_times s ON s.trial_id = o.trial_id JOIN alone n ON n.trial_id = o.trial_id
WHERE t.outcome = 'ok';
)sql";

/// How many cells of the plan a replayed cell stands for (NULL: stored by an older version).
/// Medians and quartiles follow the rule of core/statistics.h, and v_ledger the rules of
/// core/ledger.h; the tests hold the views and these functions equal.
inline constexpr const char* kMultiplicityV9 = R"sql(
ALTER TABLE replay_cells ADD COLUMN multiplicity INTEGER CHECK (multiplicity >= 1);

DROP VIEW v_trial_times;
CREATE VIEW v_trial_times AS
WITH ranked AS (                         -- place and last count from 0
  SELECT trial_id, duration_ns,
    row_number() OVER (PARTITION BY trial_id ORDER BY duration_ns) - 1 AS place,
    count(*) OVER (PARTITION BY trial_id) - 1 AS last
  FROM samples)
SELECT trial_id, count(*) AS samples, min(duration_ns) AS min_ns,
  sum(duration_ns * CASE place WHEN last / 4 THEN 1 - last % 4 / 4.0
    WHEN last / 4 + 1 THEN last % 4 / 4.0 END) AS q1_ns,
  sum(duration_ns * CASE place WHEN last / 2 THEN 1 - last % 2 / 2.0
    WHEN last / 2 + 1 THEN last % 2 / 2.0 END) AS median_ns,
  sum(duration_ns * CASE place WHEN 3 * last / 4 THEN 1 - 3 * last % 4 / 4.0
    WHEN 3 * last / 4 + 1 THEN 3 * last % 4 / 4.0 END) AS q3_ns,
  max(duration_ns) AS max_ns
FROM ranked GROUP BY trial_id;

DROP VIEW v_overlap;
CREATE VIEW v_overlap AS
WITH ranked AS (
  SELECT trial_id, duration_ns,
    row_number() OVER (PARTITION BY trial_id ORDER BY duration_ns) - 1 AS place,
    count(*) OVER (PARTITION BY trial_id) - 1 AS last
  FROM alone_samples),
alone AS (
  SELECT trial_id,
    sum(duration_ns * CASE place WHEN last / 2 THEN 1 - last % 2 / 2.0
      WHEN last / 2 + 1 THEN last % 2 / 2.0 END) AS median_ns
  FROM ranked GROUP BY trial_id)
SELECT t.id AS trial_id, d.name AS device, o.timed, x.op, x.transport, x.ranks, o.sm_margin,
  x.bytes_per_rank, v.name AS kernel, a.heads, a.q_blocks, a.k_blocks, a.kept_blocks,
  n.median_ns AS alone_ns, s.median_ns AS beside_ns,
  round(1.0 * s.median_ns / n.median_ns, 3) AS slowdown,
  s.samples, t.discarded, t.stop_reason, t.suite, e.cores, e.git_commit
FROM overlap_trials o JOIN trials t ON t.id = o.trial_id
JOIN attention_trials a ON a.trial_id = o.trial_id JOIN kernel_variants v ON v.id = a.kernel_id
JOIN exchange_trials x ON x.trial_id = o.trial_id
JOIN environments e ON e.id = t.environment_id JOIN devices d ON d.id = e.device_id
JOIN v_trial_times s ON s.trial_id = o.trial_id JOIN alone n ON n.trial_id = o.trial_id
WHERE t.outcome = 'ok';

DROP VIEW v_ledger;
CREATE VIEW v_ledger AS
WITH weighted AS (
  SELECT c.replay_id, r.transport, g.kind, g.predicted_ns IS NOT NULL AS predicted,
    ifnull(c.multiplicity, 1) * g.predicted_ns AS predicted_ns,
    ifnull(c.multiplicity, 1) * g.replayed_ns AS replayed_ns
  FROM ledger_segments g JOIN replay_cells c ON c.id = g.cell_id
  JOIN replays r ON r.id = c.replay_id),
sums AS (
  SELECT replay_id, transport, kind, count(*) AS segments, sum(predicted) AS predicted_segments,
    sum(predicted_ns) AS predicted_ns, sum(replayed_ns) FILTER (WHERE predicted) AS replayed_ns,
    ifnull(sum(replayed_ns) FILTER (WHERE NOT predicted), 0) AS unpredicted_ns
  FROM weighted GROUP BY replay_id, kind)
SELECT replay_id, transport, kind, segments, predicted_segments, predicted_ns, replayed_ns,
  round(100.0 * (replayed_ns - predicted_ns) / nullif(predicted_ns, 0), 2) AS error_percent,
  unpredicted_ns
FROM sums;
)sql";

}  // namespace dbsp::db
