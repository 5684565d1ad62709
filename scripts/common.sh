# What scripts/bootstrap, adatape and test share; sourced, never run. Everything said here goes to
# stderr: stdout belongs to results. $ADATAPE_BUILD names another build folder than build/.
# shellcheck shell=bash

root=$(cd -P "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/.." && pwd)
build=$(realpath -m "${ADATAPE_BUILD:-$root/build}")
tools=$root/.venv/bootstrap.env # what bootstrap found: cmake, ninja, python; written last
[[ -n ${ADATAPE_PYTHON:-} ]] || unset PYTHONHOME PYTHONPATH # they would hide the private .venv

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# The opening comment of the script that runs.
usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }

die() { # die CODE MESSAGE...
  say "${*:2}"
  exit "$1"
}

# step NAME ADVICE COMMAND...: says what it does, keeps the output in a log, shows a failure.
step() {
  local name=$1 advice=$2 log started=$SECONDS
  log=${name%% (*}
  log=$build/logs/${log//[^a-zA-Z0-9]/-}.log
  shift 2
  mkdir -p "${log%/*}"
  say "$name..."
  if ! "$@" >"$log" 2>&1 </dev/null; then
    tail -n 15 "$log" | sed 's/^/  | /' >&2
    die 1 "step '$name' failed; $advice (whole output: $log)"
  fi
  say "$name: done in $((SECONDS - started)) s"
}

# with_lock FOLDER COMMAND...: one at a time on FOLDER, in a subshell.
with_lock() (
  exec 9<"$1"
  shift
  if ! flock -n 9; then
    say "waiting for another run in this folder to finish..."
    flock 9
  fi
  "$@"
)

# A file that includes torch takes up to 2.5 GiB to compile. $ADATAPE_JOBS overrules.
jobs() {
  if [[ -n ${ADATAPE_JOBS:-} ]]; then
    echo "$ADATAPE_JOBS"
    return
  fi
  local cores memory limit
  cores=$(nproc)
  memory=$(awk '/^MemAvailable/ {print int($2 / 1048576)}' /proc/meminfo)
  limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || true)
  if [[ $limit =~ ^[0-9]+$ ]] && ((limit >> 30 < memory)); then memory=$((limit >> 30)); fi
  memory=$((memory * 2 / 5))
  echo $((memory < 1 ? 1 : memory < cores ? memory : cores))
}

# configure FOLDER PRESET: runs CMake only when the preset, the tools or the place changed.
configure() {
  local folder=$1 preset=$2 flavour python cmake ninja wanted fresh=()
  # shellcheck source=/dev/null
  source "$tools"
  wanted="$preset $flavour $python $cmake $ninja $root"
  if [[ -f $folder/build.ninja && -f $folder/.configured ]]; then
    [[ $(<"$folder/.configured") != "$wanted" ]] || return 0
  fi
  # CMake refuses a folder that was configured for a source tree elsewhere.
  if [[ -f $folder/CMakeCache.txt ]] &&
    ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$folder/CMakeCache.txt"; then
    fresh=(--fresh)
  fi
  rm -f "$folder/.configured"
  cd "$root" || return
  step "configuring ${folder##*/}" "see CMake's message above" "$cmake" --preset "$preset" \
    -B "$folder" "${fresh[@]}" -DCMAKE_MAKE_PROGRAM="$ninja" -DADATAPE_PYTHON="$python"
  printf '%s\n' "$wanted" >"$folder/.configured"
}

# Ninja's output without what it says when there is nothing to do; one moving line on a terminal.
progress() {
  local line end=''
  while IFS= read -r line; do
    case $line in
      'ninja: '[Een]*directory* | 'ninja: no work to do.' | *'Re-checking globbed'* | '-- '*) ;;
      '['*)
        if [[ -t 2 ]]; then
          printf '\r\033[K%.*s' "$((${COLUMNS:-80} - 1))" "$line"
          end='\n'
        else
          printf '%s\n' "$line"
        fi
        ;;
      *)
        printf '%b%s\n' "$end" "$line"
        end=''
        ;;
    esac
  done >&2
  printf '%b' "$end" >&2
}

# compile FOLDER TARGET...: builds what changed; silent when nothing did.
compile() {
  local folder=$1 ninja log=$1/logs/build.log started=$SECONDS
  shift
  # shellcheck source=/dev/null
  source "$tools"
  mkdir -p "${log%/*}"
  # With paths relative to the project, one clone finds in ccache what another has compiled.
  if ! CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1 NINJA_STATUS='[%f/%t] ' \
    "$ninja" -C "$folder" -j "$(jobs)" "$@" 2>&1 | tee "$log" | progress; then
    die 1 "building $* failed; the compiler's messages are above and in $log" \
      "(out of memory? set ADATAPE_JOBS=1)"
  fi
  if grep -qE '^\[[0-9]+/[0-9]+\] [^R]' "$log"; then
    say "built $* in ${folder##*/} in $((SECONDS - started)) s"
  fi
}

configure_and_compile() {
  configure "$1" "$2"
  compile "$1" "${@:3}"
}

# build_targets FOLDER PRESET TARGET...
build_targets() {
  mkdir -p "$1"
  with_lock "$1" configure_and_compile "$@"
}
