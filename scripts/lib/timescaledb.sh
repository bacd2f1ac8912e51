# shellcheck shell=bash
# TimescaleDB on PostgreSQL 17, in a Debian chroot that debootstrap unpacks: the host may
# be of any release and have any PostgreSQL or none. Nothing is mounted in it.

timescaledb_suite=trixie
timescaledb_home=$stack_dir/timescaledb
timescaledb_root=$timescaledb_home/root
timescaledb_data=/var/lib/flowmeter/data # inside the chroot
timescaledb_log=$stack_dir/logs/timescaledb.log

timescaledb_port() { recorded_port timescaledb 5432; }
timescaledb_url() { echo "postgres://flowmeter:$(secret database-password)@127.0.0.1:$(timescaledb_port)/flowmeter"; }
timescaledb_is_unpacked() { [[ -d $timescaledb_root ]]; }
timescaledb_pids() { own_pids postgres "$timescaledb_root$timescaledb_data"; }
timescaledb_is_running() { [[ -n $(timescaledb_pids) ]]; }

# in_chroot PROGRAM…: runs one of PostgreSQL's programs as postgres, with a bare environment.
in_chroot() {
  "${as_root[@]}" env -i PGPASSWORD="${database_password:-}" PGCONNECT_TIMEOUT=5 LC_ALL=C.UTF-8 \
    PATH=/usr/lib/postgresql/17/bin:/usr/bin:/bin:/usr/sbin:/sbin \
    chroot --userspec=postgres:postgres "$timescaledb_root" "$@"
}

# timescaledb_query DATABASE SQL
timescaledb_query() {
  local database_password
  database_password=$(secret database-password)
  in_chroot psql -X -q -A -t -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$(timescaledb_port)" -U flowmeter -d "$1" -c "$2"
}
timescaledb_accepts() { timescaledb_is_running && timescaledb_query postgres 'SELECT 1' >/dev/null 2>&1; }
timescaledb_is_ready() {
  timescaledb_is_running &&
    [[ $(timescaledb_query flowmeter "SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb'" 2>/dev/null) == 1 ]]
}

# The Debian mirror that this machine's apt uses, if it is a Debian machine.
debian_mirror() {
  local id='' codename='' found=''
  # shellcheck disable=SC1091
  . /etc/os-release 2>/dev/null && id=${ID:-} codename=${VERSION_CODENAME:-}
  if [[ $id == debian ]]; then
    found=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
      awk -v codename="$codename" '
        # one line: deb [options] URI suite components
        $1 == "deb" { sub(/\[[^]]*\]/, ""); if ($3 == codename && $2 ~ /^https?:/) { print $2; exit } }
        # deb822: the fields of a stanza, in any order
        $1 == "URIs:" { uri = $2 }
        $1 == "Suites:" { for (i = 2; i <= NF; i++) if ($i == codename) suite = 1 }
        suite && uri ~ /^https?:/ { print uri; exit }
        /^[[:space:]]*$/ { uri = ""; suite = 0 }')
  fi
  printf '%s\n' "${found:-http://deb.debian.org/debian}"
}

timescaledb_download() {
  timescaledb_is_unpacked && return 0
  local partial=$timescaledb_home/root.partial packages=$timescaledb_home/packages proxy='' isolate=() settings=(DPKG_FORCE=unsafe-io)
  remove_tree "$partial"
  mkdir -p "$packages"
  # In namespaces of its own, its mounts and the programs it starts end with it, however it ends.
  if "${as_root[@]}" unshare --mount --pid --fork true 2>/dev/null; then
    isolate=(unshare --mount --pid --fork --kill-child)
  fi
  if [[ -z ${http_proxy:-} ]] && have apt-config; then
    eval "$(apt-config shell proxy Acquire::http::Proxy)"
  fi
  if [[ -n $proxy && $proxy != DIRECT ]]; then settings+=(http_proxy="$proxy"); fi
  # The packages' signatures are checked against Debian's keys; unsafe-io only spares the
  # flushes to disk: a half-written root is never renamed to a whole one.
  PATH=$PATH:/usr/sbin:/sbin long_step "timescaledb: unpacking PostgreSQL 17 and TimescaleDB (700 MB on disk)" \
    "$stack_dir/logs/timescaledb-unpack.log" \
    "${as_root[@]}" "${isolate[@]}" env "${settings[@]}" \
    debootstrap --force-check-gpg --variant=minbase --cache-dir="$packages" \
    --include=postgresql-17,postgresql-17-timescaledb "$timescaledb_suite" "$partial" "$(debian_mirror)"
  # The cluster that Debian's package made is not ours; the package archives are not needed twice.
  "${as_root[@]}" rm -rf "$partial/var/lib/postgresql/17" "$partial/etc/postgresql/17"
  "${as_root[@]}" mkdir -p "$partial${timescaledb_data%/*}"
  "${as_root[@]}" chroot "$partial" chown postgres:postgres "${timescaledb_data%/*}"
  "${as_root[@]}" mv "$partial" "$timescaledb_root"
  remove_tree "$packages"
}

timescaledb_make_cluster() {
  local data=$timescaledb_root$timescaledb_data
  "${as_root[@]}" test -d "$data" && return 0
  local partial=$timescaledb_data.partial
  remove_tree "$timescaledb_root$partial"
  long_step "timescaledb: making an empty database cluster" "$stack_dir/logs/timescaledb-initdb.log" \
    "${as_root[@]}" env -i PATH=/usr/lib/postgresql/17/bin:/usr/bin:/bin:/usr/sbin:/sbin LC_ALL=C.UTF-8 \
    FLOWMETER_PASSWORD="$(secret database-password)" \
    chroot --userspec=postgres:postgres "$timescaledb_root" bash -euc '
      umask 077
      printf "%s\n" "$FLOWMETER_PASSWORD" > "$0.password"
      initdb -D "$0" -U flowmeter --pwfile="$0.password" --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8
      rm "$0.password"
      echo "include '\''flowmeter.conf'\''" >> "$0/postgresql.conf"' "$partial"
  "${as_root[@]}" mv "$timescaledb_root$partial" "$data"
}

timescaledb_write_settings() {
  "${as_root[@]}" tee "$timescaledb_root$timescaledb_data/flowmeter.conf" >/dev/null <<SETTINGS
# Written by scripts/stack at every start.
listen_addresses = '127.0.0.1'
port = $1
unix_socket_directories = ''
password_encryption = scram-sha-256
shared_preload_libraries = 'timescaledb'
timescaledb.telemetry_level = off
# Every database with the extension would start a scheduler, which fills the log once there
# are more databases than workers and keeps a template database from being copied. Flowmeter
# has its own jobs, and the Apache edition has no policies: none is needed.
timescaledb.max_background_workers = 0
# Many test databases with many chunks at once.
max_connections = 300
max_locks_per_transaction = 512
shared_buffers = 256MB
max_wal_size = 2GB
synchronous_commit = on
# The chroot has no /dev/shm.
dynamic_shared_memory_type = sysv
timezone = 'UTC'
log_timezone = 'UTC'
SETTINGS
}

timescaledb_launch() {
  timescaledb_is_ready && return 0
  if timescaledb_is_running; then
    # Slow to start, without its database, or orphans of a killed server, which end by themselves.
    if wait_until timescaledb 20 "$timescaledb_log" timescaledb_is_running timescaledb_accepts; then return 0; fi
    timescaledb_stop
  fi
  timescaledb_make_cluster
  # None of our processes runs: a pid file that a crash left behind only looks like one when
  # its number has been given to somebody else.
  "${as_root[@]}" rm -f "$timescaledb_root$timescaledb_data/postmaster.pid"
  local port
  port=$(claim_port timescaledb 5432)
  timescaledb_write_settings "$port"
  say "timescaledb: starting on 127.0.0.1:$port"
  launch "$timescaledb_home" "$timescaledb_log" \
    "${as_root[@]}" env -i LC_ALL=C.UTF-8 PATH=/usr/lib/postgresql/17/bin:/usr/bin:/bin:/usr/sbin:/sbin \
    chroot --userspec=postgres:postgres "$timescaledb_root" \
    /usr/lib/postgresql/17/bin/postgres -D "$timescaledb_data"
}

timescaledb_wait() {
  timescaledb_is_ready && return 0
  wait_until timescaledb 60 "$timescaledb_log" timescaledb_is_running timescaledb_accepts || return 1
  if [[ $(timescaledb_query postgres "SELECT 1 FROM pg_database WHERE datname = 'flowmeter'") != 1 ]]; then
    timescaledb_query postgres 'CREATE DATABASE flowmeter'
  fi
  timescaledb_is_ready || { say "timescaledb: the extension is not available"; return 1; }
}

# The processes to ask: those whose parent is not one of them. That is the postmaster, or,
# after it was killed, what it left behind.
timescaledb_heads() {
  local pids pid parent
  pids=$(timescaledb_pids)
  for pid in $pids; do
    read -r _ _ _ parent _ 2>/dev/null <"/proc/$pid/stat" || continue
    grep -qx "$parent" <<<"$pids" || echo "$pid"
  done
}
# SIGINT is PostgreSQL's fast shutdown, SIGQUIT its immediate one.
timescaledb_stop() { stop_processes timescaledb timescaledb_heads INT QUIT KILL; }
timescaledb_wipe() {
  timescaledb_is_unpacked || return 0
  remove_tree "$timescaledb_root$timescaledb_data"
}

timescaledb_external_answers() {
  local address host port
  if have psql; then
    psql -X -q -A -t -d "$DATABASE_URL" -c "SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb'" 2>/dev/null | grep -qx 1
    return
  fi
  address=${DATABASE_URL#*://}
  address=${address#*@}
  address=${address%%/*}
  host=${address%%:*}
  port=5432
  [[ $address == *:* ]] && port=${address##*:}
  tcp_answers "$host" "$port"
}
