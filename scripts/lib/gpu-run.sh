# SPDX-License-Identifier: Apache-2.0
# Time limits, status lines, signals, left-out kernels and the pack of scripts/gpu-check, which sources this
# file. The functions use its variables root, bin, out, smoke, parts, limit, given_skip and pack_file.

# One wait for the device ends at this time, and with it the process (runtime/cuda/device_wait.h). Emulated
# GPUs of smoke runs are slow.
export DBSP_DEVICE_DEADLINE_S=${DBSP_DEVICE_DEADLINE_S:-$([ ${#smoke[@]} -gt 0 ] && echo 120 || echo 10)}

part=            # the part that runs
part_end=$limit  # on SECONDS
left() { echo $((part_end - SECONDS)); }
# budget SECONDS: prints SECONDS, or the time that the part has left if that is less.
budget() {
  local wanted=$1 rest
  rest=$(left)
  [ "$rest" -lt "$wanted" ] && wanted=$rest
  echo "$wanted"
}

summary=()
missed=()
result=0
# note PART STATUS: keeps the status for the summary.
note() {
  local words="ok"
  case $2 in
    0) ;;
    3) words="unavailable" ;;
    124 | 137) words="cut off at its time limit; its results so far are kept" ;;
    *) words="WRONG (exit $2)"; result=1 ;;
  esac
  summary+=("$(printf '%-10s %4ds  %s' "$1" "$SECONDS" "$words")")
}
# worse STATUS STATUS: the one that a part made of both ends with: wrong, else cut off, else unavailable.
worse() {
  local rank status most_rank=-1 worst=0
  for status in "$@"; do
    case $status in
      0) rank=0 ;;
      3) rank=1 ;;
      124 | 137) rank=2 ;;
      *) rank=3 ;;
    esac
    [ $rank -gt $most_rank ] && { most_rank=$rank; worst=$status; }
  done
  echo "$worst"
}

# A signal may arrive while a function's output goes to a file.
exec 3>&1 4>&2
child=
# guard SECONDS COMMAND...: runs the command with a time limit and returns its status; 124 or 137 after the
# limit. The command runs in the background, so that a signal to this script is handled at once.
guard() {
  local seconds=$1 status
  shift
  timeout -k 3 "$seconds" "$@" 3>&- 4>&- &
  child=$!
  { wait "$child"; } 2>/dev/null  # without the shell's line about a command that a signal ended
  status=$?
  child=
  return $status
}
# run PART SECONDS ARGUMENTS...: runs gpu_check with a time limit; shows its output and keeps it in a file.
run() {
  local name=$1 seconds status
  seconds=$(budget "$2")
  shift 2
  guard "$seconds" "$gpu_check" "$@" --out "$out" --budget $((seconds > 12 ? seconds - 8 : 4)) \
    >"$out/$name.txt" 2>&1
  status=$?
  cat "$out/$name.txt"
  note "$name" $status
}

# --- kernels that are left out ---------------------------------------------------------------------------------

# leave_out NAME REASON: no later part runs this kernel.
leave_out() {
  grep -q "^$1	" "$out/left-out.txt" 2>/dev/null && return
  printf '%s\t%s\n' "$1" "$2" >>"$out/left-out.txt"
  echo "$1 is left out from now on: $2"
}
# Exports the names for every tool. bench/peers.py adds lines to left-out.txt, too.
use_left_out() {
  local names
  names=$(cut -f 1 "$out/left-out.txt" 2>/dev/null | sort -u | paste -sd, -)
  export DBSP_SKIP_KERNELS=$given_skip${names:+,$names}
}
# find_faults PART: leaves out the kernels that the part's tools named when a fault or a hang ended them.
find_faults() {
  local line name
  while read -r line; do
    name=$(grep -oE '\bsm[0-9]+\.[a-z0-9.]*[a-z0-9]' <<<"$line" | head -n 1)
    [ -n "$name" ] && leave_out "$name" "$line"
  done < <(cat "$out/$1.txt" "$out/$1"-*.err "$out/$1"-*.txt 2>/dev/null |
    grep -hE '^dbsp: .*(loses the device context|not done on the device)')
}

# --- the end ---------------------------------------------------------------------------------------------------

handle_signals() {
  trap 'stop TERM' TERM
  trap 'stop INT' INT
  trap 'stop HUP' HUP
}
# stop SIGNAL: ends the running command, writes tables and pack, and dies by the signal.
stop() {
  trap '' TERM INT HUP
  exec 1>&3 2>&4
  say "stopped by SIG$1; the results so far are kept"
  if [ -n "$child" ]; then
    kill -TERM "$child" 2>/dev/null
    local i
    for i in 1 2 3 4 5 6 7 8 9 10; do
      kill -0 "$child" 2>/dev/null || break
      sleep 0.1
    done
    [ "$i" = 10 ] && kill -KILL "$child" 2>/dev/null
  fi
  [ -n "$part" ] && summary+=("$(printf '%-10s %4ds  stopped by SIG%s; its results so far are kept' "$part" "$SECONDS" "$1")")
  local later found=
  for later in "${parts[@]}"; do
    [ -n "$found" ] && missed+=("$later")
    [ "$later" = "$part" ] && found=1
  done
  finish
  trap - "$1"
  kill -s "$1" $$
  exit 1
}

# Prints the limits, the status of each part and the kernels that were left out, and keeps them in report.txt.
finish() {
  trap '' TERM INT HUP
  {
    if command -v python3 >/dev/null; then
      python3 "$root/scripts/lib/gpu-limits" "$out" "${smoke[@]}" | tee "$out/limits.txt"
    else
      echo "gpu-check: python3 is missing: the limits are not judged"
    fi
    echo
    echo "gpu-check: the results are in $out"
    printf '%s\n' ${summary[@]+"${summary[@]}"}
    [ -s "$out/left-out.txt" ] && sed 's/^\([^\t]*\)\t/kernel \1 is left out: /' "$out/left-out.txt"
    [ ${#missed[@]} = 0 ] || echo "gpu-check: to run the rest: scripts/gpu-check ${missed[*]}"
  } >"$out/report.txt" 2>&1
  echo
  cat "$out/report.txt"
  pack
  [ -z "$pack_file" ] || echo "gpu-check: $(du -h "$pack_file" | cut -f 1) in $pack_file$pack_without"
}

pack_limit=$((16 * 1024 * 1024))
pack_without=
# Writes the pack: tables, then documents, then databases and logs. Leaves out the last where it gets too large.
pack() {
  [ -n "$pack_file" ] || return 0
  local file tables=() documents=() large=() kept
  for file in report.txt limits.txt limits.json left-out.txt device.txt seconds.jsonl; do
    [ -f "$out/$file" ] && tables+=("$file")
  done
  for file in "$out"/*.jsonl "$out"/*.txt; do
    file=${file##*/}
    [ -f "$out/$file" ] || continue
    case " ${tables[*]} " in *" $file "*) ;; *) tables+=("$file") ;; esac
  done
  for file in "$out"/*.json "$out"/*.err; do
    [ -f "$file" ] && [ "${file##*/}" != limits.json ] && documents+=("${file##*/}")
  done
  for file in "$out"/*.db "$out"/*.log; do [ -f "$file" ] && large+=("${file##*/}"); done
  [ ${#tables[@]} -gt 0 ] || return 0
  pack_without=
  for kept in 3 2 1; do
    local files=("${tables[@]}")
    [ $kept -ge 2 ] && files+=(${documents[@]+"${documents[@]}"})
    [ $kept -ge 3 ] && files+=(${large[@]+"${large[@]}"})
    tar -czf "$pack_file.part" -C "$out" -- "${files[@]}" 2>/dev/null
    [ "$(stat -c %s "$pack_file.part")" -le $pack_limit ] && break
    pack_without="; without databases and logs, which stay in $out"
    [ $kept = 2 ] && pack_without="; only the tables, the rest stays in $out"
  done
  mv -f "$pack_file.part" "$pack_file"
}
