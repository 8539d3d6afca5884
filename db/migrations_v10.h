// SPDX-License-Identifier: Apache-2.0
// Migration of the schema to version 10, inside db/ only; db/migrations.h has the earlier ones.
#pragma once

namespace dbsp::db {

/// A time that a replay copied from the plan is not a replayed time, and nothing wrote fits: plans
/// store the fits that priced them (docs/design/0029). v_ledger and v_replays follow the rules of
/// core/ledger.h; the tests hold them equal.
inline constexpr const char* kNotMeasuredV10 = R"sql(
DROP TABLE fit_parameters;
DROP TABLE fits;

DROP VIEW v_ledger;
CREATE VIEW v_ledger AS
WITH weighted AS (
  SELECT c.replay_id, r.transport, g.kind, g.predicted_ns IS NOT NULL AS predicted,
    NOT (r.transport = 'serial' AND g.kind IN ('exchange', 'hop')) AS measured,
    ifnull(c.multiplicity, 1) * g.predicted_ns AS predicted_ns,
    ifnull(c.multiplicity, 1) * g.replayed_ns AS replayed_ns
  FROM ledger_segments g JOIN replay_cells c ON c.id = g.cell_id
  JOIN replays r ON r.id = c.replay_id),
sums AS (
  SELECT replay_id, transport, kind, measured, count(*) AS segments,
    sum(predicted) AS predicted_segments, sum(predicted_ns) AS predicted_ns,
    sum(replayed_ns) FILTER (WHERE predicted AND measured) AS replayed_ns,
    ifnull(sum(replayed_ns) FILTER (WHERE NOT predicted), 0) AS unpredicted_ns
  FROM weighted GROUP BY replay_id, kind)
SELECT replay_id, transport, kind, segments, predicted_segments, measured, predicted_ns,
  replayed_ns,
  round(100.0 * (replayed_ns - predicted_ns) / nullif(predicted_ns, 0), 2) AS error_percent,
  unpredicted_ns
FROM sums;

CREATE VIEW v_replays AS
WITH cells AS (
  SELECT replay_id, count(*) AS cells,
    CASE WHEN count(multiplicity) = count(*) THEN sum(multiplicity) END AS cells_meant,
    sum(ifnull(multiplicity, 1) * predicted_ns) AS predicted_ns,
    sum(ifnull(multiplicity, 1) * replayed_ns) AS replayed_ns
  FROM replay_cells GROUP BY replay_id),
measured AS (
  SELECT replay_id, sum(predicted_ns) AS predicted_ns, sum(replayed_ns) AS replayed_ns
  FROM v_ledger WHERE measured AND predicted_segments > 0 GROUP BY replay_id)
SELECT r.id AS replay_id, r.plan_hash, r.device, r.transport, r.ranks, r.verified, r.passed,
  r.started_utc, ifnull(c.cells, 0) AS cells, c.cells_meant, c.predicted_ns, c.replayed_ns,
  m.predicted_ns AS measured_predicted_ns, m.replayed_ns AS measured_replayed_ns,
  round(100.0 * (m.replayed_ns - m.predicted_ns) / nullif(m.predicted_ns, 0), 2)
    AS measured_error_percent
FROM replays r LEFT JOIN cells c ON c.replay_id = r.id
LEFT JOIN measured m ON m.replay_id = r.id;
)sql";

}  // namespace dbsp::db
