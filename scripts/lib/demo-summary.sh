# SPDX-License-Identifier: Apache-2.0
# The demo's closing lines, read from what the tools wrote. Sourced by scripts/demo.
# sqlite3 is the JSON reader: it is installed anyway.
json() { # json FILE EXPRESSION: EXPRESSION over j, the document
  sqlite3 :memory: "SELECT $2 FROM (SELECT CAST(readfile('$1') AS TEXT) AS j)"
}
gain() { # gain FAMILY: predicted gain of the plan over the baseline, as dbsp-replay prints it
  json "$out/replay-plan-serial.json" "(SELECT json_extract(value, '\$.gain') FROM json_each(j, '\$.baselines')
    WHERE json_extract(value, '\$.family') = '$1')"
}
total() { json "$out/replay-$1.json" "json_extract(j, '\$.$2')"; }
calc() { awk "BEGIN { printf \"$1\", $2 }"; }

predicted=$(total plan-serial predicted_ms)
replayed=$(total plan-serial replayed_ms)
strategy=$(json "$out/compare.json" "(SELECT group_concat(json_extract(value, '\$.strategy') || ' for ' || json_extract(value, '\$.chosen') || ' cells', '; ')
  FROM (SELECT value FROM json_each(j, '\$.candidates') WHERE json_extract(value, '\$.chosen') > 0
  ORDER BY json_extract(value, '\$.chosen') DESC LIMIT 4))")
chosen=$(json "$out/compare.json" "(SELECT count(*) FROM json_each(j, '\$.candidates') WHERE json_extract(value, '\$.chosen') > 0)")
[ "$chosen" -le 4 ] || strategy="$strategy; and $((chosen - 4)) more"
printf 'workload   %s\n' "$scale"
printf 'machine    %s\n' "$(sqlite3 "$out/profile.db" "SELECT device || ', ' || cores || ' cores; ' || (SELECT count(*) FROM trials) || ' trials, ' ||
  (SELECT count(*) FROM samples) || ' samples' FROM v_provenance LIMIT 1")"
printf 'strategy   %s, %s ranks\n' "$strategy" "$ranks"
video() { json "$out/compare.json" "json_extract(j, '\$.video.$1')"; }
printf 'predicted  %s s of attention and exchange for the whole video, %s %% of its %s s\n' \
  "$(calc '%.1f' "$(video attention_ms) / 1000")" "$(calc '%.0f' "100 * $(video attention_share)")" \
  "$(calc '%.1f' "$(video total_ms) / 1000")"
printf 'replayed   %s cells: %s ms, predicted %s ms (%s %%), ranks one after another, exchange times from the database\n' \
  "$cells" "$(calc '%.1f' "$replayed")" "$(calc '%.1f' "$predicted")" \
  "$(calc '%+.1f' "100 * ($replayed - $predicted) / $predicted")"
for family in ulysses ring; do
  printf '%-10s %sx the speed of plain %s replayed, %sx predicted\n' "vs $family" \
    "$(calc '%.2f' "$(total "plan-$family-serial" replayed_ms) / $replayed")" "$family" "$(calc '%.2f' "$(gain $family)")"
done
printf 'verified   relative error %s (serial), %s (8 threads, real exchanges); limit 1e-05\n' \
  "$(calc '%.1e' "$(total plan-serial verification.relative_error)")" "$(calc '%.1e' "$(total plan-threads verification.relative_error)")"
printf 'files      %s\n' "$out/profile.db $out/workload.json $out/plan.json"
printf 'page       %s\n' "$out/report.html"
