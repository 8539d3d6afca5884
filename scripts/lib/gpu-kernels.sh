# SPDX-License-Identifier: Apache-2.0
# The parts of scripts/gpu-check that run gpu_check alone or with another program: kernels, speed and sanitizer.
# gpu-check sources this file after gpu-run.sh.

unit_limit=20     # seconds of one kernel's process
[ ${#smoke[@]} -gt 0 ] && unit_limit=120
unit_deadline=8   # seconds until a kernel counts as hanging

# Compares every kernel, then merges and copies, key lists and SLA with fp64. Each runs in a process of its own,
# because a fault or a hang ends a process and its device context.
check_kernels() {
  local check=(correct) name status=0 one seconds unchecked=() wrong=() before words
  [ ${#smoke[@]} -gt 0 ] && check=(small --cases 1)
  rm -f "$out/left-out.txt"
  use_left_out
  guard 30 "$gpu_check" names >"$out/names.txt" 2>"$out/kernels.txt"
  one=$?
  if [ $one != 0 ]; then
    cat "$out/kernels.txt"
    note kernels $one
    return
  fi
  before=$DBSP_DEVICE_DEADLINE_S
  [ "$before" -gt $unit_deadline ] && export DBSP_DEVICE_DEADLINE_S=$unit_deadline
  while read -r name; do
    use_left_out  # SLA's exact part runs attention kernels
    seconds=$(budget $unit_limit)
    if [ "$seconds" -lt 6 ]; then
      unchecked+=("$name")
      continue
    fi
    # KILL, because a process whose kernel hangs may not end by TERM; its status 137 is not gpu_check's own 124.
    guard $((seconds + 3)) timeout -s KILL "$seconds" "$gpu_check" "${check[@]}" --filter "=$name" --out "$out" \
      --budget $((seconds > 14 ? 12 : seconds - 4)) >"$out/one-kernel.txt" 2>&1
    one=$?
    cat "$out/one-kernel.txt" >>"$out/kernels.txt"
    case $one in
      0) ;;
      1) wrong+=("$name"); grep -E '^(wrong|failed): ' "$out/one-kernel.txt" | head -n 3 ;;
      3) ;;
      124) unchecked+=("$name") ;;
      *)
        words=$(grep -E '^(dbsp|gpu_check): ' "$out/one-kernel.txt" | tail -n 1)
        [ $one = 137 ] && words="its process did not end within $seconds s"
        case $name in
          sm*) leave_out "$name" "${words:-exit $one}" ;;
          *) echo "$name does not work: ${words:-exit $one}" ;;
        esac
        wrong+=("$name"); one=1 ;;
    esac
    status=$(worse "$status" $one)
  done <"$out/names.txt"
  export DBSP_DEVICE_DEADLINE_S=$before
  rm -f "$out/one-kernel.txt"
  kernel_table
  [ ${#wrong[@]} = 0 ] || echo "kernels: wrong or ended by a fault: ${wrong[*]}"
  if [ ${#unchecked[@]} -gt 0 ]; then
    echo "kernels: no time was left to check all cases of: ${unchecked[*]}"
    status=$(worse "$status" 124)
  fi
  note kernels "$status"
}

# One table of the kernels and the lines of the checks, out of those that the processes printed.
kernel_table() {
  awk '/^kernel / { if (!heading++) printf "%-24s %5s %5s  worst error  worst LSE  bit-identical\n", $1, $2, $3; next }
    NF == 6 && / (yes|no)$/ { printf "%-24s %5s %5s  %11s  %9s  %13s\n", $1, $2, $3, $4, $5, $6 }
    / cases, [0-9]+ wrong$/ { print }' "$out/kernels.txt"
}

# Times memory kernels, then attention in turns with PyTorch's. One pass: no kernel of dbsp is timed twice.
time_speed() {
  local seconds status one
  guard "$(budget 30)" "$gpu_check" speed --filter =memory "${smoke[@]}" --out "$out" --budget 12 \
    >"$out/speed.txt" 2>&1
  status=$?
  seconds=$(budget 200)
  if ! command -v python3 >/dev/null; then
    echo "speed: python3 is missing: PyTorch's attention is not timed" >>"$out/speed.txt"
    guard "$seconds" "$gpu_check" speed --filter sm "${smoke[@]}" --out "$out" --budget $((seconds - 10)) \
      >>"$out/speed.txt" 2>&1
  else
    guard "$seconds" python3 "$root/bench/peers.py" --gpu-check "$gpu_check" --out "$out" \
      --budget $((seconds > 40 ? seconds - 15 : seconds / 2)) "${smoke[@]}" >>"$out/speed.txt" 2>&1
  fi
  one=$?
  cat "$out/speed.txt"
  note speed "$(worse $status $one)"
}

# find_sanitizer: prints the path of compute-sanitizer, or the places where it is not.
find_sanitizer() {
  local nvcc folder places=()
  command -v compute-sanitizer && return
  nvcc=$(command -v nvcc)
  for folder in ${CUDA_HOME:+"$CUDA_HOME/bin"} ${CUDA_PATH:+"$CUDA_PATH/bin"} ${nvcc:+"$(dirname "$nvcc")"} \
    /usr/local/cuda/bin /usr/local/cuda/compute-sanitizer /usr/local/cuda-*/bin; do
    [ -x "$folder/compute-sanitizer" ] && { echo "$folder/compute-sanitizer"; return; }
    places+=("$folder")
  done
  echo "compute-sanitizer is neither on PATH nor in ${places[*]}"
  return 1
}

sanitize() {
  local program tool status=0 one log seconds filter=()
  [ ${#smoke[@]} -gt 0 ] && filter=(--filter sm90.block64x64.d64)
  program=$(find_sanitizer) || { echo "sanitizer: unavailable: $program"; note sanitizer 3; return; }
  for tool in memcheck racecheck; do
    log=$out/sanitizer-$tool.txt
    seconds=$(budget 45)
    [ "$seconds" -gt 10 ] || { echo "sanitizer: no time was left for $tool"; status=$(worse $status 124); continue; }
    say "compute-sanitizer $tool"
    DBSP_DEVICE_DEADLINE_S=120 guard "$seconds" "$program" --tool "$tool" --error-exitcode 1 \
      "$gpu_check" small "${filter[@]}" --out "$out/$tool" --budget $((seconds - 8)) >"$log" 2>&1
    one=$?
    tail -n 4 "$log"
    # The sanitizer's own lines begin with "=========". "Program hit" reports an error of the program.
    if [ $one != 0 ] && ! grep -q '^wrong: ' "$log" &&
      grep '^=========' "$log" | grep -v 'Program hit' | grep -qi 'not supported'; then
      echo "sanitizer: unavailable: $tool: $(grep '^=========' "$log" | grep -i -m 1 'not supported' | sed 's/^=* *//')"
      one=3
    fi
    status=$(worse $status $one)
  done
  note sanitizer $status
}
