# shellcheck shell=bash
# Apache Kafka: one KRaft node on loopback, from Maven's jars. Data in .stack/kafka/data.

kafka_version=4.1.1
kafka_home=$stack_dir/kafka
kafka_jars=$stack_dir/software/kafka-$kafka_version
kafka_log=$stack_dir/logs/kafka.log
# With 840 partitions, as tests make them, 340 MB are resident; the rest is room for load.
kafka_heap=(-Xms256m -Xmx768m)
kafka_launched=0

kafka_url() { echo "127.0.0.1:$(recorded_port kafka 9092)"; }
kafka_is_unpacked() { [[ -d $kafka_jars ]]; }
kafka_pids() { own_pids java "$kafka_home"; }
kafka_is_running() { [[ -n $(kafka_pids) ]]; }

# kafka_answers HOST PORT: sends an ApiVersions request (the one a client begins with) and
# wants back a response to that very request, without an error.
kafka_answers() {
  local answer
  # shellcheck disable=SC2016 # expanded by the inner shell
  answer=$(timeout 3 bash -c '
    exec 3<>"/dev/tcp/$0/$1" || exit 1
    printf "\0\0\0\012\0\022\0\0\0\0\0\007\377\377" >&3
    head -c 10 <&3 | od -An -tx1 -j4 | tr -d " \n"' "$1" "$2" 2>/dev/null) || return 1
  [[ $answer == 000000070000 ]]
}
kafka_is_ready() { kafka_is_running && kafka_answers 127.0.0.1 "$(recorded_port kafka 9092)"; }
kafka_has_started() { grep -q 'Kafka Server started' "$kafka_log" 2>/dev/null && kafka_is_ready; }

kafka_download() {
  kafka_is_unpacked && return 0
  local partial=$kafka_jars.partial
  remove_tree "$partial"
  mkdir -p "$partial/libs"
  cat >"$partial/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>flowmeter</groupId>
  <artifactId>kafka</artifactId>
  <version>$kafka_version</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$kafka_version</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$kafka_version</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
POM
  long_step "kafka: downloading Apache Kafka $kafka_version (54 MB)" "$stack_dir/logs/kafka-download.log" \
    mvn --batch-mode --strict-checksums -f "$partial/pom.xml" \
    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$partial/libs"
  verify_sha256 "$lib/kafka-$kafka_version.sha256" "$partial/libs"
  mv "$partial/libs" "$kafka_jars"
  remove_tree "$partial"
}

# kafka_write_settings FILE DATA BROKER_PORT CONTROLLER_PORT
kafka_write_settings() {
  cat >"$1" <<SETTINGS
# Written by scripts/stack at every start.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$4
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$3,CONTROLLER://127.0.0.1:$4
advertised.listeners=PLAINTEXT://127.0.0.1:$3
log.dirs=$2
# One node: nothing can be replicated.
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# Topics are made by those who know how many partitions and what retention they need.
auto.create.topics.enable=false
delete.topic.enable=true
num.partitions=4
# A quick start and quick tests.
offsets.topic.num.partitions=8
transaction.state.log.num.partitions=8
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=16777216
SETTINGS
}

# A data folder counts from the moment it is formatted whole.
kafka_format() {
  [[ -d $kafka_home/data ]] && return 0
  local partial=$kafka_home/data.partial settings=$kafka_home/format.properties id
  remove_tree "$partial"
  kafka_write_settings "$settings" "$partial" "$1" "$2"
  id=$(java -cp "$kafka_jars/*" kafka.tools.StorageTool random-uuid 2>/dev/null)
  long_step "kafka: formatting its storage" "$stack_dir/logs/kafka-format.log" \
    java -cp "$kafka_jars/*" kafka.tools.StorageTool format -t "$id" -c "$settings"
  mv "$partial" "$kafka_home/data"
  rm -f "$settings"
}

kafka_launch() {
  kafka_is_ready && return 0
  if kafka_is_running; then
    # Perhaps a start that was interrupted: it may only need a moment.
    say "kafka: its process runs but does not answer yet; waiting"
    if wait_until kafka 30 "$kafka_log" kafka_is_running kafka_is_ready; then return 0; fi
    kafka_stop
  fi
  local broker controller
  mkdir -p "$kafka_home"
  broker=$(claim_port kafka 9092)
  controller=$(claim_port kafka-controller 9093)
  kafka_format "$broker" "$controller"
  kafka_write_settings "$kafka_home/server.properties" "$kafka_home/data" "$broker" "$controller"
  kafka_launched=1
  say "kafka: starting on 127.0.0.1:$broker"
  launch "$kafka_home" "$kafka_log" java "${kafka_heap[@]}" \
    -Dorg.slf4j.simpleLogger.showDateTime=true -Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS \
    -cp "$kafka_jars/*" kafka.Kafka "$kafka_home/server.properties"
}

kafka_wait() {
  ((kafka_launched)) || return 0
  wait_until kafka 90 "$kafka_log" kafka_is_running kafka_has_started
}
kafka_stop() { stop_processes kafka kafka_pids TERM KILL; }
kafka_wipe() { remove_tree "$kafka_home"; }

kafka_external_answers() {
  local first=${KAFKA_BROKERS%%,*}
  # A listener with TLS does not answer in clear; a connection is then all that can be asked.
  kafka_answers "${first%:*}" "${first##*:}" || tcp_answers "${first%:*}" "${first##*:}"
}
