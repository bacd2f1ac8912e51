# shellcheck shell=bash
# Apicurio Registry, which speaks Confluent's API. Its journal is a topic on our Kafka, so
# schema ids live exactly as long as the records that carry them.
# Kafka would forget the journal after its usual week, hence its retention.

registry_version=3.0.9
registry_home=$stack_dir/registry
registry_app=$stack_dir/software/apicurio-$registry_version
registry_log=$stack_dir/logs/registry.log

registry_url() { echo "http://127.0.0.1:$(recorded_port registry 8081)/apis/ccompat/v7"; }
registry_is_unpacked() { [[ -d $registry_app ]]; }
registry_pids() { own_pids java "$registry_home"; }
registry_is_running() { [[ -n $(registry_pids) ]]; }
registry_answers() { curl --silent --fail --noproxy 127.0.0.1,localhost --max-time 5 --output /dev/null "$1/subjects"; }
registry_is_ready() { registry_is_running && registry_answers "$(registry_url)"; }

registry_download() {
  registry_is_unpacked && return 0
  local partial=$registry_app.partial archive=apicurio-registry-app-$registry_version-all.tar.gz
  remove_tree "$partial"
  mkdir -p "$partial/app"
  # Version 2.8 of the plugin copies a single file without asking for the parents of its
  # description, which are not all published.
  long_step "registry: downloading Apicurio Registry $registry_version (104 MB)" "$stack_dir/logs/registry-download.log" \
    mvn --batch-mode --strict-checksums org.apache.maven.plugins:maven-dependency-plugin:2.8:copy \
    -Dartifact="io.apicurio:apicurio-registry-app:$registry_version:tar.gz:all" -DoutputDirectory="$partial"
  verify_sha256 "$lib/apicurio-$registry_version.sha256" "$partial"
  tar -xzf "$partial/$archive" -C "$partial/app"
  mv "$partial/app" "$registry_app"
  remove_tree "$partial"
}

# registry_launch BROKERS
registry_launch() {
  registry_is_ready && return 0
  if registry_is_running; then
    say "registry: its process runs but does not answer yet; waiting"
    if wait_until registry 30 "$registry_log" registry_is_running registry_is_ready; then return 0; fi
    registry_stop
  fi
  local port
  mkdir -p "$registry_home"
  port=$(claim_port registry 8081)
  say "registry: starting on 127.0.0.1:$port"
  launch "$registry_home" "$registry_log" java -Xmx384m \
    -Dquarkus.http.host=127.0.0.1 -Dquarkus.http.port="$port" \
    -Dquarkus.http.access-log.enabled=false \
    -Dapicurio.storage.kind=kafkasql \
    -Dapicurio.kafkasql.bootstrap.servers="$1" \
    -Dapicurio.kafkasql.topic=flowmeter-registry-journal \
    -Dapicurio.kafkasql.topic.retention.ms=-1 -Dapicurio.kafkasql.topic.retention.bytes=-1 \
    -Dapicurio.kafkasql.snapshots.topic=flowmeter-registry-snapshots \
    -Dapicurio.events.kafka.topic=flowmeter-registry-events \
    -Dapicurio.storage.snapshot.location="$registry_home" \
    -Dapicurio.kafkasql.consumer.poll.timeout=500 \
    -jar "$registry_app/apicurio-registry-app-$registry_version-runner.jar"
}

registry_wait() {
  registry_is_ready && return 0
  wait_until registry 90 "$registry_log" registry_is_running registry_is_ready
}
registry_stop() { stop_processes registry registry_pids TERM KILL; }
registry_wipe() { remove_tree "$registry_home"; }
registry_external_answers() { registry_answers "${SCHEMA_REGISTRY_URL%/}"; }
