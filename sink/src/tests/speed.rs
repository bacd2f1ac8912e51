//! How fast the sink writes. Run with `--release -- --ignored --nocapture speed`.

use std::time::Instant;

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
    sink.stop().await;
    println!(
        "{EVENTS} events stored within {took:?}: {:.0} a second",
        wanted as f64 / took.as_secs_f64()
    );
}
