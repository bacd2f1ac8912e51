import java.io.BufferedWriter;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.UUID;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.common.typeinfo.TypeHint;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.java.tuple.Tuple3;
import org.apache.flink.api.java.tuple.Tuple7;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.datagen.source.DataGeneratorSource;
import org.apache.flink.connector.datagen.source.GeneratorFunction;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.windowing.ProcessWindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.util.Collector;
import org.apache.flink.api.connector.sink2.Sink;
import org.apache.flink.api.connector.sink2.SinkWriter;
import org.apache.flink.api.connector.sink2.WriterInitContext;

/**
 * Count, errors, sum, minimum and maximum by series, scope and window, on Flink's local cluster.
 *
 * <p>Fast as the DataStream API allows in plain use: incremental aggregation, the state on the
 * heap, objects used again, tuples rather than POJOs, ids as whole numbers, and each longer window
 * and coarser scope added up from the rows of the shorter and finer one. The job runs twice in one
 * JVM; the first run warms up the compiler and does not count.
 *
 * <p>Arguments: the file of series, the file of events, the file for the result.
 */
public final class WindowsJob {
  private static final String[] WINDOWS = {"1m", "5m", "15m", "1h", "1d"};
  private static final int[] SECONDS = {60, 300, 900, 3_600, 86_400};

  /** Organization, team and user as halves of UUIDs, and the name; zeros stand for none. */
  public static final class Key extends Tuple7<Long, Long, Long, Long, Long, Long, String> {
    public Key() {}

    Key(UUID organization, UUID team, UUID user, String name) {
      super(
          organization.getMostSignificantBits(), organization.getLeastSignificantBits(),
          team.getMostSignificantBits(), team.getLeastSignificantBits(),
          user.getMostSignificantBits(), user.getLeastSignificantBits(), name);
    }

    private static Key of(Key k, boolean team) {
      Key key = new Key();
      key.f0 = k.f0;
      key.f1 = k.f1;
      key.f2 = team ? k.f2 : 0L;
      key.f3 = team ? k.f3 : 0L;
      key.f4 = 0L;
      key.f5 = 0L;
      key.f6 = k.f6;
      return key;
    }
  }

  /** Series, execution time, whether it was an error. */
  public static final class Event extends Tuple3<Key, Integer, Boolean> {
    public Event() {}
  }

  /** The sums of a bucket. */
  public static final class Sums {
    public long count;
    public long errors;
    public long sum;
    public long min = Long.MAX_VALUE;
    public long max;

    void add(long count, long errors, long sum, long min, long max) {
      this.count += count;
      this.errors += errors;
      this.sum += sum;
      this.min = Math.min(this.min, min);
      this.max = Math.max(this.max, max);
    }
  }

  /** Series, start of the bucket in milliseconds, sums. */
  public static final class Row extends Tuple3<Key, Long, Sums> {
    public Row() {}
  }

  // The local cluster runs in this JVM.
  private static Key[] series;
  private static int[] seriesOf;
  private static long[] timestamps;
  private static int[] millis;
  private static boolean[] errors;
  private static volatile long began;
  private static volatile long cpuBegan;
  private static final List<String[]> LABELS = new ArrayList<>();
  private static final List<List<Row>> RESULTS = new ArrayList<>();

  private static final class AddEvent implements AggregateFunction<Event, Sums, Sums> {
    @Override
    public Sums createAccumulator() {
      return new Sums();
    }

    @Override
    public Sums add(Event event, Sums sums) {
      sums.add(1, event.f2 ? 1 : 0, event.f1, event.f1, event.f1);
      return sums;
    }

    @Override
    public Sums getResult(Sums sums) {
      return sums;
    }

    @Override
    public Sums merge(Sums a, Sums b) {
      a.add(b.count, b.errors, b.sum, b.min, b.max);
      return a;
    }
  }

  private static final class AddRow implements AggregateFunction<Row, Sums, Sums> {
    @Override
    public Sums createAccumulator() {
      return new Sums();
    }

    @Override
    public Sums add(Row row, Sums sums) {
      Sums more = row.f2;
      sums.add(more.count, more.errors, more.sum, more.min, more.max);
      return sums;
    }

    @Override
    public Sums getResult(Sums sums) {
      return sums;
    }

    @Override
    public Sums merge(Sums a, Sums b) {
      a.add(b.count, b.errors, b.sum, b.min, b.max);
      return a;
    }
  }

  private static final class Emit extends ProcessWindowFunction<Sums, Row, Key, TimeWindow> {
    @Override
    public void process(Key key, Context context, Iterable<Sums> all, Collector<Row> out) {
      Row row = new Row();
      row.f0 = key;
      row.f1 = context.window().getStart();
      row.f2 = all.iterator().next();
      out.collect(row);
    }
  }

  /** Keeps the rows of one scope and window in memory. */
  private static final class Keep implements Sink<Row> {
    private final int index;

    Keep(int index) {
      this.index = index;
    }

    @Override
    public SinkWriter<Row> createWriter(WriterInitContext context) {
      List<Row> rows = RESULTS.get(index);
      return new SinkWriter<>() {
        @Override
        public void write(Row row, Context context) {
          // Rows are used again by Flink, their sums are not: they leave the state with this.
          Row kept = new Row();
          kept.f0 = row.f0;
          kept.f1 = row.f1;
          kept.f2 = row.f2;
          rows.add(kept);
        }

        @Override
        public void flush(boolean endOfInput) {}

        @Override
        public void close() {}
      };
    }
  }

  private static final class Next implements GeneratorFunction<Long, Event> {
    @Override
    public Event map(Long number) {
      if (number == 0) {
        began = System.nanoTime();
        cpuBegan = cpuNanos();
      }
      int i = number.intValue();
      Event event = new Event();
      event.f0 = series[seriesOf[i]];
      event.f1 = millis[i];
      event.f2 = errors[i];
      // Told to the assigner of timestamps, which sees the event next, in the same thread.
      current = i;
      return event;
    }
  }

  private static int current;

  private static long cpuNanos() {
    return ((com.sun.management.OperatingSystemMXBean)
            java.lang.management.ManagementFactory.getOperatingSystemMXBean())
        .getProcessCpuTime();
  }

  private static void run() throws Exception {
    LABELS.clear();
    RESULTS.clear();
    Configuration configuration = new Configuration();
    configuration.setString("rest.bind-port", "0");
    StreamExecutionEnvironment env =
        StreamExecutionEnvironment.createLocalEnvironment(1, configuration);
    env.getConfig().enableObjectReuse();
    TypeInformation<Event> eventType = TypeInformation.of(new TypeHint<Event>() {});
    TypeInformation<Key> keyType = TypeInformation.of(new TypeHint<Key>() {});
    WatermarkStrategy<Event> watermarks =
        WatermarkStrategy.<Event>forBoundedOutOfOrderness(Duration.ofMinutes(10))
            .withTimestampAssigner((event, before) -> timestamps[current]);
    DataStream<Event> events =
        env.fromSource(
            new DataGeneratorSource<>(new Next(), timestamps.length, eventType),
            watermarks,
            "W1");
    DataStream<Row> user =
        events
            .keyBy(event -> event.f0, keyType)
            .window(TumblingEventTimeWindows.of(Duration.ofMinutes(1)))
            .aggregate(new AddEvent(), new Emit());
    DataStream<Row> team = regroup(user, true, keyType);
    DataStream<Row> organization = regroup(team, false, keyType);
    longer("user", user, keyType);
    longer("team", team, keyType);
    longer("organization", organization, keyType);
    env.execute();
  }

  /** The rows of a minute by a coarser scope. */
  private static DataStream<Row> regroup(
      DataStream<Row> rows, boolean team, TypeInformation<Key> keyType) {
    return rows
        .keyBy(row -> Key.of(row.f0, team), keyType)
        .window(TumblingEventTimeWindows.of(Duration.ofMinutes(1)))
        .aggregate(new AddRow(), new Emit());
  }

  /** Keeps the rows of a minute and those of every longer window. */
  private static void longer(String scope, DataStream<Row> rows, TypeInformation<Key> keyType) {
    for (int i = 0; i < WINDOWS.length; i++) {
      if (i > 0) {
        rows =
            rows.keyBy(row -> row.f0, keyType)
                .window(TumblingEventTimeWindows.of(Duration.ofSeconds(SECONDS[i])))
                .aggregate(new AddRow(), new Emit());
      }
      LABELS.add(new String[] {scope, WINDOWS[i]});
      RESULTS.add(new ArrayList<>());
      rows.sinkTo(new Keep(RESULTS.size() - 1));
    }
  }

  private static void read(Path seriesFile, Path eventsFile) throws Exception {
    series =
        Files.readAllLines(seriesFile).stream()
            .map(line -> line.split(",", 4))
            .map(
                f ->
                    new Key(
                        UUID.fromString(f[0]), UUID.fromString(f[1]), UUID.fromString(f[2]), f[3]))
            .toArray(Key[]::new);
    ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(eventsFile));
    bytes.order(ByteOrder.LITTLE_ENDIAN);
    int count = bytes.remaining() / 20;
    seriesOf = new int[count];
    timestamps = new long[count];
    millis = new int[count];
    errors = new boolean[count];
    for (int i = 0; i < count; i++) {
      seriesOf[i] = bytes.getInt();
      timestamps[i] = bytes.getLong() / 1000;
      millis[i] = bytes.getInt();
      errors[i] = bytes.getInt() != 0;
    }
  }

  private static void write(Path file) throws Exception {
    try (BufferedWriter out = Files.newBufferedWriter(file)) {
      for (int i = 0; i < RESULTS.size(); i++) {
        String scope = LABELS.get(i)[0];
        for (Row row : RESULTS.get(i)) {
          Key k = row.f0;
          Sums s = row.f2;
          String team = scope.equals("organization") ? "" : new UUID(k.f2, k.f3).toString();
          String user = scope.equals("user") ? new UUID(k.f4, k.f5).toString() : "";
          out.write(
              String.join(
                  ",", scope, LABELS.get(i)[1], new UUID(k.f0, k.f1).toString(), team, user, k.f6,
                  "" + row.f1 / 1000, "" + s.count, "" + s.errors, "" + s.sum, "" + s.min,
                  "" + s.max));
          out.write('\n');
        }
      }
    }
  }

  private static long peakBytes() throws Exception {
    for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
      if (line.startsWith("VmHWM:")) {
        return Long.parseLong(line.replaceAll("\\D", "")) * 1024;
      }
    }
    return 0;
  }

  public static void main(String[] args) throws Exception {
    read(Path.of(args[0]), Path.of(args[1]));
    long start = System.nanoTime();
    run();
    double first = (System.nanoTime() - start) / 1e9;
    System.gc();
    run();
    double seconds = (System.nanoTime() - began) / 1e9;
    double cpu = (cpuNanos() - cpuBegan) / 1e9;
    write(Path.of(args[2]));
    System.out.println(
        String.format(
            Locale.ROOT,
            "{\"events\":%d,\"seconds\":%f,\"parts\":[{\"name\":\"process\",\"cpu_seconds\":%f,"
                + "\"peak_bytes\":%d}],\"values\":{\"first_run_seconds\":%f}}",
            timestamps.length, seconds, cpu, peakBytes(), first));
  }
}
