# shellcheck shell=bash
# The same parts as containers, where a Docker engine answers: docker-compose.yml's
# infrastructure, under the same project name.

compose_file=$root/deploy/compose.infrastructure.yml

docker_answers() {
  have docker && timeout 10 docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1
}

compose() {
  POSTGRES_PASSWORD=$(secret database-password) \
    KAFKA_PORT=$(recorded_port kafka 9092) REGISTRY_PORT=$(recorded_port registry 8081) POSTGRES_PORT=$(recorded_port timescaledb 5432) REDIS_PORT=$(recorded_port redis 6379) \
    docker compose --file "$compose_file" "$@"
}

# compose_is_ready PART: true when its container is healthy.
compose_is_ready() { [[ $(compose ps --format '{{.Health}}' "$1" 2>/dev/null) == healthy ]]; }

compose_up() {
  local parts=() part
  declare -A default=([kafka]=9092 [registry]=8081 [timescaledb]=5432 [redis]=6379)
  for part in $(parts); do
    wanted "$part" || continue
    parts+=("$part")
    compose_is_ready "$part" || claim_port "$part" "${default[$part]}" >/dev/null
  done
  say "docker compose: starting ${parts[*]}"
  compose up --detach --wait "${parts[@]}"
}
compose_down() { compose down; }
