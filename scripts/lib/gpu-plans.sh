# SPDX-License-Identifier: Apache-2.0
# The parts of scripts/gpu-check that run dbsp's tools: profile, full, replay and ranks. gpu-check sources
# this file after gpu-run.sh; the functions use its variables bin, out, smoke and part_end and its functions
# budget, guard, left, note and say.

# The tools that these parts run.
dbsp_tools=(dbsp-workload dbsp-profile dbsp-tune dbsp-replay)

now_ms() { date +%s%3N; }
# clocked NAME START_MS STATUS: writes the duration and the exit status for scripts/lib/gpu-limits.
clocked() {
  local took=$(($(now_ms) - $2))
  printf '{"what": "%s", "seconds": %d.%03d, "status": %d}\n' "$1" $((took / 1000)) $((took % 1000)) "$3" \
    >>"$out/seconds.jsonl"
}

# The workloads are Wan 2.1 14B at 720p in blocks of 128 with two kinds of masks: radial masks, and random
# masks with the density per head that was measured with SpargeAttn on that model (array of steps x layers
# x heads). One (step, layer) of each is planned for 8 ranks.
plan_families=(ulysses ring dbsp balanced placed)
plan_cells() {  # prints lines "NAME STEP LAYER"
  echo "radial 30 20"
  [ -f "$out/mix.json" ] && echo "mix 15 20"
}

# has_tools PART: names the first missing tool and fails, or succeeds.
has_tools() {
  local tool
  for tool in "${dbsp_tools[@]}"; do
    [ -x "$bin/$tool" ] && continue
    echo "$1: unavailable: $bin/$tool is missing; scripts/bundle makes a folder for --bin"
    note "$1" 3
    return 1
  done
}

make_workloads() {
  local shape=(--model wan2.1-t2v-14b-720p --block 128x128)
  local trace=${DBSP_SHARED_DATA:-$root/../shared/data}/wan14b_sparge_density/head_density_30x40x40.npy
  if [ ${#smoke[@]} -gt 0 ]; then
    shape=(--model wan2.1-t2v-14b-720p --block 64x64 --grid 3,8,9 --heads 4 --head-dim 64)
    trace=
  fi
  "$bin/dbsp-workload" make "${shape[@]}" --mask radial:decay=0.2 -o "$out/radial.json" || return 1
  if [ -f "$trace" ]; then
    "$bin/dbsp-workload" make "${shape[@]}" --steps 30 --mask "density:file=$trace" -o "$out/mix.json" || return 1
  elif [ -n "$trace" ]; then
    echo "the density mix is left out: ${trace##*/} is missing (DBSP_SHARED_DATA names its folder)"
  fi
}

# run_suite PART SUITE DB SECONDS: runs a suite of dbsp-profile with a time limit. dbsp-profile decides how
# long a trial may take.
run_suite() {
  has_tools "$1" || return
  make_workloads || { note "$1" 1; return; }
  local start status spend=$(($4 - 15))
  [ ${#smoke[@]} -gt 0 ] && spend=10
  start=$(now_ms)
  guard "$4" "$bin/dbsp-profile" --db "$3" --device cuda --suite "$2" --ranks 8 \
    --workload "$out/radial.json" --budget ${spend}s --json >"$out/$1.json" 2> >(tee "$out/$1.txt" >&2)
  status=$?
  clocked "$1" "$start" $status
  suite_result "$1" $status
  note "$1" $?
}

# suite_result NAME STATUS: prints what dbsp-profile's document NAME.json says and returns the part's status:
# STATUS, but where no trial failed except those that are unavailable here, 0, or 3 if no other was measured.
suite_result() {
  python3 - "$out/$1.json" "$2" <<'PY'
import json, sys
path, status = sys.argv[1], int(sys.argv[2])
try:
    with open(path) as file:
        got = json.load(file)
except (OSError, ValueError):
    print("no document")
    sys.exit(status)
print(", ".join(f"{got[name]} {name.replace('_', ' ')}" for name in ("measured", "reused", "failed", "left_out")))
failed = [trial for trial in got["trials"] if trial["status"] == "failed"]
if status == 1 and failed and all(trial["outcome"] == "unavailable" for trial in failed):
    print(f"{len(failed)} unavailable, the first: {failed[0]['what']}: {failed[0]['detail']}")
    status = 0 if got["measured"] + got["reused"] else 3
sys.exit(status)
PY
}
profile_device() {
  local s
  s=$(budget 70)
  # Enough for the tiny shapes of the workload. On emulated GPUs one general shape takes minutes.
  [ ${#smoke[@]} -gt 0 ] && s=40
  run_suite profile quick "$out/profile.db" "$s"
  profile_overlap
}

# Measures how attention and exchanges slow each other down, which needs two GPUs. Assumes two GPUs where
# nvidia-smi cannot count them.
profile_overlap() {
  [ -x "$bin/dbsp-profile" ] && [ -f "$out/radial.json" ] || return
  local gpus s status
  gpus=$(nvidia-smi -L 2>/dev/null | grep -c '^GPU')
  [ "$gpus" -ge 2 ] || gpus=2
  s=$(budget 60)
  local spend=$((s - 15))
  [ ${#smoke[@]} -gt 0 ] && s=40 spend=10
  if [ "$(left)" -lt 25 ]; then echo "overlap: not measured: no time was left"; return; fi
  guard "$s" "$bin/dbsp-profile" --db "$out/profile.db" --device cuda --suite overlap --ranks "$gpus" \
    --workload "$out/radial.json" --budget ${spend}s --json >"$out/overlap.json" 2>"$out/overlap.txt"
  status=$?
  if [ $status = 3 ]; then
    echo "overlap: not measured: $(tail -n 1 "$out/overlap.txt")"
  else
    python3 - "$out/overlap.json" <<'PY'
import json, sys
try:
    with open(sys.argv[1]) as file:
        trials = [trial for trial in json.load(file)["trials"] if "slowdown" in trial]
except (OSError, ValueError):
    trials = []
for trial in trials[:8]:
    print(f"{trial['what']}, {trial['slowdown']:.3g} times as long as alone")
PY
    suite_result overlap $status
    status=$?
  fi
  note overlap $status
}
profile_full() {
  local s
  s=$(budget 900)
  [ ${#smoke[@]} -gt 0 ] && s=40
  run_suite full full "$out/profile-full.db" "$s"
}

# Most seconds of one replay. A smoke run may use emulated GPUs, which are slow.
replay_limit=40
[ ${#smoke[@]} -gt 0 ] && replay_limit=150

# trace_cost PLAN: replays the plan in turns with and without CUPTI tracing.
trace_cost() {
  local start status
  start=$(now_ms)
  guard "$(budget $replay_limit)" "$bin/dbsp-replay" "$1" --device cuda --transport serial --cupti --repeat 1 --json \
    >"$out/replay-cupti.json" 2>"$out/replay-cupti.err"
  status=$?
  clocked replay-cupti "$start" $status
  [ $status = 0 ] || echo "CUPTI: exit $status: $(tail -n 1 "$out/replay-cupti.err")" | tee -a "$out/replay.txt"
}

# plan_line NAME FAMILY FILE: prints a line about a JSON document of dbsp-replay.
plan_line() {
  python3 - "$@" <<'PY'
import json, sys
name, family, path = sys.argv[1:]
with open(path) as file:
    got = json.load(file)
error = got["relative_error"]
check = got["verification"]
print(f"{name:8} {family:9} predicted {got['predicted_ms']:9.3f} ms  replayed {got['replayed_ms']:9.3f} ms  "
      f"{'' if error is None else f'{100 * error:+6.1f} %'}  "
      f"{'verified %.1e' % check['relative_error'] if check and check['passed'] else 'NOT VERIFIED'}")
PY
}

# The plans use published exchange times of a cluster, because one GPU has no exchanges to measure. With
# --cfg-degrees 1 all eight ranks share each guidance pass, and the replay runs one pass.
replay_plans() {
  has_tools replay || return
  [ -f "$out/profile.db" ] || { echo "replay: unavailable: $out/profile.db is missing; run the part profile first"; note replay 3; return; }
  [ -f "$out/radial.json" ] || make_workloads || { note replay 1; return; }
  local status=0 name step layer family plan seconds one start
  : >"$out/replay.txt"
  while read -r name step layer; do
    for family in "${plan_families[@]}"; do
      seconds=$(budget $replay_limit)
      if [ "$seconds" -lt 10 ]; then
        echo "no time was left for $name $family" | tee -a "$out/replay.txt"
        status=$(worse $status 124)
        continue
      fi
      plan=$out/plan-$name-$family.json
      guard "$seconds" "$bin/dbsp-tune" --workload "$out/$name.json" --db "$out/profile.db" --cluster h200x8 \
        --steps "$step" --layers "$layer" --families "$family" --cfg-degrees 1 -o "$plan" >"$out/plan-$name-$family.txt" 2>&1
      one=$?
      if [ $one = 0 ]; then
        start=$(now_ms)
        guard "$seconds" "$bin/dbsp-replay" "$plan" --db "$out/profile.db" --device cuda --transport serial \
          --verify --json >"$out/replay-$name-$family.json" 2>"$out/replay-$name-$family.err"
        one=$?
        clocked "replay-$name-$family" "$start" $one
        [ $one = 0 ] && plan_line "$name" "$family" "$out/replay-$name-$family.json" | tee -a "$out/replay.txt"
        [ $one = 0 ] && [ "$name-$family" = radial-ulysses ] && trace_cost "$plan"
      fi
      if [ $one != 0 ]; then
        status=$(worse $status $one)
        echo "$name $family: exit $one: $(tail -n 1 "$out/plan-$name-$family.txt" "$out/replay-$name-$family.err" 2>/dev/null |
          grep -v '^==>' | tail -n 1)" | tee -a "$out/replay.txt"
      fi
    done
  done < <(plan_cells)
  note replay $status
}

# Checks NCCL on machines that may have only one GPU: a replay with one rank, which exchanges with itself,
# and two ranks that share the GPU and claim to be on different hosts. Measures no bandwidth.
play_ranks() {
  has_tools ranks || return
  [ -f "$out/radial.json" ] || make_workloads || { note ranks 1; return; }
  local one start plan=$out/plan-one-rank.json
  start=$(now_ms)
  guard "$(budget 40)" "$bin/dbsp-tune" --workload "$out/radial.json" --cluster h200x1 --steps 30 --layers 20 \
    --families ulysses -o "$plan" >"$out/plan-one-rank.txt" 2>&1 &&
    guard "$(budget $((replay_limit + 20)))" "$bin/dbsp-replay" "$plan" --device cuda --transport nccl --verify --json \
      >"$out/replay-one-rank.json" 2>"$out/replay-one-rank.err"
  one=$?
  clocked one-rank "$start" $one
  if [ $one = 0 ]; then
    plan_line "one rank" nccl "$out/replay-one-rank.json"
  else
    echo "one rank over NCCL: exit $one: $(cat "$out/plan-one-rank.txt" "$out/replay-one-rank.err" 2>/dev/null | tail -n 1)"
  fi | tee "$out/ranks.txt"
  # NCCL may refuse two ranks on one GPU, depending on its version and the network. The refusal is reported
  # and does not count as an error.
  local two=0
  start=$(now_ms)
  guard "$(budget 60)" "$bin/dbsp-profile" --device cuda --suite collectives --processes --one-gpu --ranks 2 \
    --deadline 20s -e 128K >"$out/ranks-one-gpu.txt" 2>&1 || two=$?
  clocked two-ranks "$start" $two
  if [ $two = 0 ]; then
    echo "two ranks on one GPU: every exchange is right"
  else
    echo "two ranks on one GPU: exit $two: $(tail -n 1 "$out/ranks-one-gpu.txt")"
  fi | tee -a "$out/ranks.txt"
  note ranks $one
}
