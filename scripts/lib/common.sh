# shellcheck shell=bash
# What every part of the stack uses: words to the person, processes, ports, locks.
#
# There are no pid files. A process is ours when its executable has the right name
# and its working folder is the part's own folder under .stack; both are read from
# /proc each time, so a recycled pid can never be taken for ours and a process whose
# start was interrupted is still found.

started_at=$EPOCHREALTIME

# Seconds since the command began, as "3.2".
elapsed() {
  local micros=$((${EPOCHREALTIME/[.,]/} - ${started_at/[.,]/}))
  printf '%d.%d' $((micros / 1000000)) $((micros / 100000 % 10))
}

say() { printf '[%5ss] %s\n' "$(elapsed)" "$*" >&2; }
warn() { say "warning: $*"; }
die() {
  printf 'stack: %s\n' "$*" >&2
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# The command that gives root's rights: nothing for root, sudo when it asks no password.
as_root=()
can_be_root() {
  ((EUID == 0)) && return 0
  if have sudo && sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
    return 0
  fi
  return 1
}

# --- long steps ------------------------------------------------------------------

# The last line a log holds, short and without control characters or addresses.
last_words() {
  tail -n 1 "$1" 2>/dev/null | tr '\r' '\n' | tail -n 1 | tr -cd '[:print:]' |
    sed -E 's#[a-z]+://[^ ]*/([^ /]+)#\1#g' | cut -c1-90
}

# long_step LABEL LOG COMMAND…: runs a program, never silent for more than five seconds.
# The program dies with this script (a kill -9 included), so an interrupted `up` leaves
# nothing behind that the next one would meet.
long_step() {
  local label=$1 log=$2 began=$SECONDS next=5 status=0
  shift 2
  say "$label"
  : >"$log"
  setpriv --pdeathsig KILL -- "$@" >>"$log" 2>&1 </dev/null &
  local child=$!
  while kill -0 "$child" 2>/dev/null; do
    sleep 0.2
    if ((SECONDS - began >= next)); then
      say "  … $((SECONDS - began)) s: $(last_words "$log")"
      next=$((next + 5))
    fi
  done
  wait "$child" || status=$?
  if ((status != 0)); then
    tail -n 15 "$log" >&2
    say "$label: failed (exit code $status); the whole log is in $log"
    return "$status"
  fi
}

# verify_sha256 LIST FOLDER: every file in LIST is in FOLDER and is what it should be.
verify_sha256() {
  (cd "$2" && sha256sum --check --quiet --strict "$1") >&2 ||
    die "a download is not what it should be (see above); remove it from Maven's local repository (~/.m2/repository) and try again"
}

# Removes a folder of ours, first whatever an interrupted debootstrap left mounted in it.
remove_tree() {
  local tree=$1 mounted
  [[ $tree == "$stack_dir"/?* ]] || die "refusing to remove $tree: it is not in $stack_dir"
  [[ -e $tree ]] || return 0
  while read -r mounted; do
    "${as_root[@]}" umount --lazy "$mounted"
  done < <(awk -v tree="$tree/" 'index($5, tree) == 1 { print $5 }' /proc/self/mountinfo | sort -r)
  "${as_root[@]}" rm -rf --one-file-system "$tree"
}

# --- processes -------------------------------------------------------------------

# own_pids EXECUTABLE FOLDER: pids of the processes that are ours, oldest first.
own_pids() {
  local executable=$1 folder=$2 path cwd exe
  while read -r path cwd; do
    [[ $cwd == "$folder" || $cwd == "$folder (deleted)" ]] || continue
    exe=$("${as_root[@]}" readlink "${path%/cwd}/exe" 2>/dev/null) || continue
    exe=${exe% (deleted)}
    [[ ${exe##*/} == "$executable" ]] || continue
    path=${path#/proc/}
    printf '%s\n' "${path%/cwd}"
  done < <("${as_root[@]}" find /proc/[0-9]*/cwd -maxdepth 0 -printf '%p %l\n' 2>/dev/null) | sort -n
}

# launch FOLDER LOG COMMAND…: starts a program that outlives this script, in its own
# session, without the lock and with its own log; the log of the start before is kept.
launch() {
  local folder=$1 log=$2
  shift 2
  if [[ -s $log ]]; then mv -f "$log" "$log.1"; fi
  (cd "$folder" && exec setsid "$@" >"$log" 2>&1 </dev/null 9>&-) &
  disown
}

# wait_until PART SECONDS LOG RUNNING READY: polls READY; gives up when RUNNING says that
# the process is gone, or after SECONDS.
wait_until() {
  local part=$1 limit=$2 log=$3 running=$4 ready=$5 began=$SECONDS next=5 seen=0
  until "$ready"; do
    if "$running"; then
      seen=1
    elif ((seen || SECONDS - began >= 3)); then
      tail -n 20 "$log" >&2
      say "$part stopped while starting; the whole log is in $log"
      return 1
    fi
    if ((SECONDS - began >= limit)); then
      tail -n 20 "$log" >&2
      say "$part does not answer after $limit s; the whole log is in $log"
      return 1
    fi
    if ((SECONDS - began >= next)); then
      say "  … waiting for $part for $((SECONDS - began)) s"
      next=$((next + 5))
    fi
    sleep 0.1
  done
}

# stop_processes PART PIDS_FUNCTION SIGNAL…: sends each signal in turn, waiting up to a
# minute after each (PostgreSQL writes all its memory out), until no process is left.
stop_processes() {
  local part=$1 pids_of=$2 signal pids waited
  shift 2
  pids=$("$pids_of")
  [[ -n $pids ]] || return 0
  for signal in "$@"; do
    # shellcheck disable=SC2086 # a list of numbers
    "${as_root[@]}" kill -s "$signal" $pids 2>/dev/null || true
    for ((waited = 0; waited < 600; waited++)); do
      pids=$("$pids_of")
      if [[ -z $pids ]]; then
        say "$part stopped"
        return 0
      fi
      ((waited % 50 == 49)) && say "  … waiting for $part to stop"
      sleep 0.1
    done
    warn "$part did not stop within a minute of SIG$signal"
  done
  say "$part could not be stopped: pids" $pids
  return 1
}

# --- ports -----------------------------------------------------------------------

# True when nothing listens on a TCP port. Read from /proc: no tool has to be there.
port_is_free() {
  local hex tables=(/proc/net/tcp)
  [[ -e /proc/net/tcp6 ]] && tables+=(/proc/net/tcp6)
  printf -v hex '%04X' "$1"
  ! awk -v port=":$hex" '$4 == "0A" && substr($2, length($2) - 4) == port { found = 1 } END { exit !found }' "${tables[@]}"
}

# recorded_port NAME DEFAULT: the port a part was last given.
recorded_port() {
  if [[ -s $stack_dir/ports/$1 ]]; then cat "$stack_dir/ports/$1"; else echo "$2"; fi
}

# claim_port NAME DEFAULT: prints the recorded port (or the default) when it is free, else
# the next free one that no other part of this stack has, and records it.
claim_port() {
  local name=$1 port wanted other
  wanted=$(recorded_port "$1" "$2")
  for ((port = wanted; port < wanted + 200; port++)); do
    for other in "$stack_dir"/ports/*; do
      [[ -e $other && ${other##*/} != "$name" && $(<"$other") == "$port" ]] && continue 2
    done
    if port_is_free "$port"; then
      ((port == wanted)) || say "$name: port $wanted is taken by another program; using $port"
      printf '%s\n' "$port" >"$stack_dir/ports/$name.partial"
      mv "$stack_dir/ports/$name.partial" "$stack_dir/ports/$name"
      printf '%s\n' "$port"
      return 0
    fi
  done
  die "no free port for $name between $wanted and $((wanted + 199))"
}

# True when a TCP connection to HOST PORT succeeds within two seconds.
tcp_answers() { timeout 2 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null; }

# --- secrets and locks -----------------------------------------------------------

# secret NAME: a password kept in .stack/secrets, made on first use.
secret() {
  local file=$stack_dir/secrets/$1
  if [[ ! -s $file ]]; then
    (umask 077 && head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$file.partial")
    mv "$file.partial" "$file"
  fi
  cat "$file"
}

# One command at a time changes the stack; a second one waits and says so. The lock is the
# kernel's, on an open file: it ends with its holder, however that ends.
take_lock() {
  exec 9>>"$stack_dir/lock"
  flock --timeout 0.5 9 && return 0
  say "another scripts/stack is at work on $stack_dir; waiting for it"
  until flock --timeout 5 9; do say "  … still waiting"; done
}
