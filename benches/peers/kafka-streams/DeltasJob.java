import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.WindowedSerdes;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.ContextualFixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorContext;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * What the aggregator does, on Kafka Streams: reads command events as Avro, lets each event_id
 * through once within an hour of log time, forwards those events, and keeps sums by minute and
 * finest series, all exactly once.
 *
 * <p>Fast as the DSL allows in plain use: one thread, state in memory with the changelogs that
 * exactly-once needs, updates cached until a commit, Avro read by hand in the order of the newest
 * schema, and the sums of a user's series in one value under the key that events have already, so
 * that nothing is sent around by a repartition topic.
 *
 * <p>Arguments: brokers, topic of events, prefix of the result's two topics, application id, events
 * in the topic. The job first runs over the topic as the application of that id with ".warm" behind
 * it, into topics with "warm-" before their names, so that the compiler has seen everything; then
 * as itself, until it is ended. It needs no folder: no state is on a disk.
 */
public final class DeltasJob {
  private static final Duration HORIZON = Duration.ofHours(1);
  private static final Duration MINUTE = Duration.ofMinutes(1);
  private static final Duration GRACE = Duration.ofHours(1);

  /** A command event: what is used of it, and the record's value as it came. */
  private static final class Event {
    byte[] value;
    byte[] id;
    String organization;
    String user;
    String name;
    long timestampMillis;
    long logMillis;
    long millis;
    boolean isError;

    /** Reads the Confluent header and the Avro record behind it. */
    static Event of(byte[] value) {
      ByteBuffer in = ByteBuffer.wrap(value);
      if (in.get() != 0) {
        throw new IllegalArgumentException("no schema id");
      }
      in.getInt();
      Event event = new Event();
      event.value = value;
      event.id = bytes(in);
      event.organization = text(in);
      event.timestampMillis = number(in) / 1000;
      event.user = text(in);
      optional(in); // team_id
      optional(in); // project_id
      event.name = text(in);
      event.millis = number(in);
      event.isError = number(in) == 1;
      optional(in); // command_args
      optional(in); // error_message
      optional(in); // context
      if (in.hasRemaining()) {
        throw new IllegalArgumentException("bytes after the end of the record");
      }
      return event;
    }

    private static long number(ByteBuffer in) {
      long bits = 0;
      int shift = 0;
      byte next;
      do {
        next = in.get();
        bits |= (next & 0x7fL) << shift;
        shift += 7;
      } while (next < 0);
      return (bits >>> 1) ^ -(bits & 1);
    }

    private static byte[] bytes(ByteBuffer in) {
      byte[] bytes = new byte[(int) number(in)];
      in.get(bytes);
      return bytes;
    }

    private static String text(ByteBuffer in) {
      return new String(bytes(in), StandardCharsets.UTF_8);
    }

    private static void optional(ByteBuffer in) {
      if (number(in) == 1) {
        int length = (int) number(in);
        in.position(in.position() + length);
      }
    }

    /** Whether a record's key is organization_id:user_id of this. */
    boolean hasKey(String key) {
      return key.length() == organization.length() + 1 + user.length()
          && key.startsWith(organization)
          && key.charAt(organization.length()) == ':'
          && key.endsWith(user);
    }
  }

  /** Sums by name of a command, of one user and minute. A user has few. */
  private static final class Sums {
    private final List<String> names = new ArrayList<>(5);

    /** Count, errors, sum, minimum and maximum of the execution time. */
    private final List<long[]> sums = new ArrayList<>(5);

    Sums add(Event event) {
      int index = names.indexOf(event.name);
      if (index < 0) {
        index = names.size();
        names.add(event.name);
        sums.add(new long[] {0, 0, 0, Long.MAX_VALUE, 0});
      }
      long[] sum = sums.get(index);
      sum[0] += 1;
      sum[1] += event.isError ? 1 : 0;
      sum[2] += event.millis;
      sum[3] = Math.min(sum[3], event.millis);
      sum[4] = Math.max(sum[4], event.millis);
      return this;
    }

    /** For each name its length in two bytes, itself, and five numbers of eight bytes. */
    byte[] toBytes() {
      byte[][] texts = new byte[names.size()][];
      int length = 0;
      for (int i = 0; i < texts.length; i++) {
        texts[i] = names.get(i).getBytes(StandardCharsets.UTF_8);
        length += 2 + texts[i].length + 5 * Long.BYTES;
      }
      ByteBuffer out = ByteBuffer.allocate(length);
      for (int i = 0; i < texts.length; i++) {
        out.putShort((short) texts[i].length).put(texts[i]);
        for (long number : sums.get(i)) {
          out.putLong(number);
        }
      }
      return out.array();
    }

    static Sums of(byte[] bytes) {
      Sums all = new Sums();
      ByteBuffer in = ByteBuffer.wrap(bytes);
      while (in.hasRemaining()) {
        byte[] name = new byte[in.getShort()];
        in.get(name);
        all.names.add(new String(name, StandardCharsets.UTF_8));
        long[] sum = new long[5];
        for (int i = 0; i < sum.length; i++) {
          sum[i] = in.getLong();
        }
        all.sums.add(sum);
      }
      return all;
    }
  }

  /** Lets the first event of an id through, and none of the same id within the horizon. */
  private static final class Deduplicate
      extends ContextualFixedKeyProcessor<String, Event, Event> {
    private KeyValueStore<byte[], Long> seen;
    private long newest;

    @Override
    public void init(FixedKeyProcessorContext<String, Event> context) {
      super.init(context);
      seen = context.getStateStore("seen");
      context.schedule(
          HORIZON.dividedBy(4), PunctuationType.WALL_CLOCK_TIME, now -> forget());
    }

    @Override
    public void process(FixedKeyRecord<String, Event> record) {
      Event event = record.value();
      if (!event.hasKey(record.key())) {
        return;
      }
      newest = Math.max(newest, event.logMillis);
      Long before = seen.putIfAbsent(event.id, event.logMillis);
      if (before != null) {
        seen.put(event.id, event.logMillis);
        if (event.logMillis - before <= HORIZON.toMillis()) {
          return;
        }
      }
      context().forward(record);
    }

    private void forget() {
      List<byte[]> old = new ArrayList<>();
      try (KeyValueIterator<byte[], Long> all = seen.all()) {
        while (all.hasNext()) {
          KeyValue<byte[], Long> entry = all.next();
          if (newest - entry.value > HORIZON.toMillis()) {
            old.add(entry.key);
          }
        }
      }
      old.forEach(seen::delete);
    }
  }

  private static <T> Serde<T> serde(Serializer<T> to, Deserializer<T> from) {
    return Serdes.serdeFrom(to, from);
  }

  private static Topology topology(String input, String output) {
    Serde<Event> events =
        serde(
            (topic, event) -> event == null ? null : event.value,
            (topic, bytes) -> bytes == null ? null : Event.of(bytes));
    Serde<Sums> sums =
        serde(
            (topic, value) -> value == null ? null : value.toBytes(),
            (topic, bytes) -> bytes == null ? null : Sums.of(bytes));
    StreamsBuilder builder = new StreamsBuilder();
    builder.addStateStore(
        Stores.keyValueStoreBuilder(
            Stores.inMemoryKeyValueStore("seen"), Serdes.ByteArray(), Serdes.Long()));
    KStream<String, Event> admitted =
        builder.stream(
                input,
                Consumed.with(Serdes.String(), events)
                    .withTimestampExtractor(
                        (record, before) -> {
                          Event event = (Event) record.value();
                          event.logMillis = record.timestamp();
                          return event.timestampMillis;
                        }))
            .processValues(Deduplicate::new, "seen");
    admitted.to(output + "admitted", Produced.with(Serdes.String(), events));
    admitted
        .groupByKey(Grouped.with(Serdes.String(), events))
        .windowedBy(TimeWindows.ofSizeAndGrace(MINUTE, GRACE))
        .aggregate(
            Sums::new,
            (key, event, value) -> value.add(event),
            Materialized.<String, Sums>as(
                    Stores.inMemoryWindowStore("minutes", MINUTE.plus(GRACE), MINUTE, false))
                .withKeySerde(Serdes.String())
                .withValueSerde(sums)
                .withCachingEnabled())
        .toStream()
        .to(
            output + "sums",
            Produced.with(
                WindowedSerdes.timeWindowedSerdeFrom(String.class, MINUTE.toMillis()), sums));
    return builder.build();
  }

  private static KafkaStreams start(String[] args, String application, String output) {
    Properties settings = new Properties();
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[0]);
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, application);
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
    settings.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
    settings.put(
        StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
    KafkaStreams streams = new KafkaStreams(topology(args[1], output), settings);
    streams.start();
    return streams;
  }

  private static long committed(Admin admin, String application) throws Exception {
    Map<?, OffsetAndMetadata> offsets =
        admin.listConsumerGroupOffsets(application).partitionsToOffsetAndMetadata().get();
    return offsets.values().stream().mapToLong(o -> o == null ? 0 : o.offset()).sum();
  }

  public static void main(String[] args) throws Exception {
    String application = args[3];
    String warm = application + ".warm";
    long events = Long.parseLong(args[4]);
    KafkaStreams streams = start(args, warm, args[2] + "warm-");
    Properties admin = new Properties();
    admin.put("bootstrap.servers", args[0]);
    try (Admin client = Admin.create(admin)) {
      while (committed(client, warm) < events) {
        if (streams.state() == KafkaStreams.State.ERROR) {
          System.exit(1);
        }
        Thread.sleep(100);
      }
    }
    streams.close();
    System.gc();
    KafkaStreams measured = start(args, application, args[2]);
    Runtime.getRuntime()
        .addShutdownHook(
            new Thread(
                () -> {
                  measured.close();
                  // Java would say that a signal ended it.
                  Runtime.getRuntime().halt(0);
                }));
    while (measured.state() != KafkaStreams.State.ERROR) {
      Thread.sleep(100);
    }
    System.exit(1);
  }
}
