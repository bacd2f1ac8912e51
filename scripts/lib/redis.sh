# shellcheck shell=bash
# Redis, the one part that is not needed: with it rate limits hold across instances. The
# machine's own redis-server is used, without persistence.

redis_home=$stack_dir/redis
redis_log=$stack_dir/logs/redis.log

redis_url() { echo "redis://127.0.0.1:$(recorded_port redis 6379)"; }
redis_is_installed() { have redis-server; }

# redis_is_used: it is there, or will be: somebody gave its address, or said that it must be
# there (STACK_REDIS=1), or that what is missing may be installed.
redis_is_used() {
  external redis || [[ $(engine) == docker ]] || redis_is_installed || [[ ${STACK_REDIS:-} == 1 ]] || may_install
}

# Debian's redis-server is a link to a program of another name.
redis_pids() {
  local program
  program=$(readlink -f "$(command -v redis-server || echo redis-server)")
  own_pids "${program##*/}" "$redis_home"
}
redis_is_running() { [[ -n $(redis_pids) ]]; }

# redis_answers HOST PORT: to a PING, perhaps that it wants a password.
redis_answers() {
  local answer
  # shellcheck disable=SC2016 # expanded by the inner shell
  answer=$(timeout 3 bash -c '
    exec 3<>"/dev/tcp/$0/$1" || exit 1
    printf "PING\r\n" >&3
    head -c 5 <&3' "$1" "$2" 2>/dev/null) || return 1
  [[ $answer == +PONG || $answer == -NOAU ]]
}
redis_is_ready() { redis_is_running && redis_answers 127.0.0.1 "$(recorded_port redis 6379)"; }

redis_launch() {
  redis_is_ready && return 0
  if redis_is_running; then redis_stop; fi
  local port
  mkdir -p "$redis_home"
  port=$(claim_port redis 6379)
  say "redis: starting on 127.0.0.1:$port"
  launch "$redis_home" "$redis_log" redis-server --port "$port" --bind 127.0.0.1 --dir "$redis_home" \
    --save '' --appendonly no --daemonize no --maxmemory 128mb --maxmemory-policy allkeys-lru
}

redis_wait() {
  redis_is_ready && return 0
  wait_until redis 20 "$redis_log" redis_is_running redis_is_ready
}
redis_stop() { stop_processes redis redis_pids TERM KILL; }
redis_wipe() { remove_tree "$redis_home"; }

redis_external_answers() {
  local address host port=6379
  address=${REDIS_URL#*://}
  address=${address##*@}
  address=${address%%[/?]*}
  host=${address%%:*}
  [[ $address == *:* ]] && port=${address##*:}
  # With TLS it does not answer in clear; a connection is then all that can be asked.
  if [[ $REDIS_URL == rediss:* ]]; then tcp_answers "$host" "$port"; else redis_answers "$host" "$port"; fi
}
