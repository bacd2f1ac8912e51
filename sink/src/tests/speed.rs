//! How fast the sink writes. Run with `--release -- --ignored --nocapture speed`.

use std::time::{Duration, Instant};

use platform::config::{LogConfig, LogFormat};
use schemas::Event;

use super::{
    COMMANDS, MINUTE_EVENTS,
    support::{Pipeline, command},
};

const EVENTS: u64 = 100_000;
const FLUSH: usize = 5000;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn speed_of_catching_up() {
    let logs = LogConfig {
        level: "info,sink=debug".to_owned(),
        format: LogFormat::Text,
    };
    platform::telemetry::logs::init(&logs).unwrap();
    let pipeline = Pipeline::new(4).await;
    let aggregator = pipeline.aggregator();
    let all: Vec<Event> = (0..EVENTS).map(|n| command(n, 200, 20, 1)).collect();
    let began = Instant::now();
    for events in all.chunks(FLUSH) {
        pipeline.publish(events).await;
        aggregator.flush(events);
    }
    println!("published within {:?}", began.elapsed());
    let began = Instant::now();
    let sink = pipeline.start();
    let wanted = i64::try_from(EVENTS).unwrap();
    pipeline.until(COMMANDS, wanted).await;
    pipeline.until(MINUTE_EVENTS, wanted).await;
    let took = began.elapsed();
    println!(
        "{EVENTS} events stored within {took:?}: {:.0} a second",
        wanted as f64 / took.as_secs_f64()
    );
    // Small batches, every row of which is there already; their durations are in the log.
    for round in 1..=5 {
        let began = Instant::now();
        let events: Vec<Event> = (0..2000).map(|n| command(n, 200, 20, 1)).collect();
        pipeline.publish(&events).await;
        aggregator.flush(&events);
        pipeline.until(MINUTE_EVENTS, wanted + round * 2000).await;
        println!(
            "2000 events published and stored within {:?}",
            began.elapsed()
        );
    }
    // A full load for a while, with a flush a second.
    let stored = wanted + 10_000;
    let began = Instant::now();
    for second in 1..=10 {
        let events: Vec<Event> = (0..10_000).map(|n| command(n, 200, 20, 1)).collect();
        pipeline.publish(&events).await;
        aggregator.flush(&events);
        let next = Duration::from_secs(second);
        tokio::time::sleep(next.saturating_sub(began.elapsed())).await;
    }
    let published = began.elapsed();
    pipeline.until(MINUTE_EVENTS, stored + 100_000).await;
    pipeline.until(COMMANDS, stored + 100_000).await;
    println!(
        "10 times 10000 events published within {published:?}, stored {:?} later",
        began.elapsed() - published
    );
    sink.stop().await;
    let hot = "select (100 * sum(n_tup_hot_upd) / greatest(sum(n_tup_upd), 1))::bigint \
         from pg_stat_all_tables where relname like '%hyper%chunk'";
    println!("{} % of the updates were HOT", pipeline.number(hot).await);
}
