//! Markers of replayed dead letters.

use schemas::dead_letter::{DeadLetter, Replayed};

use super::support::{Pipeline, now};

/// Puts a record among the dead letters; they have one partition.
async fn put(pipeline: &Pipeline, headers: &[(&'static str, String)]) -> i64 {
    let headers: Vec<_> = headers.iter().map(|(n, v)| (*n, v.as_bytes())).collect();
    let topic = pipeline.topics.dead_letters();
    let sent = pipeline.producer.enqueue(&topic, b"k", b"", &headers);
    sent.unwrap().await.unwrap().1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_closes_its_letter_and_no_other_also_when_it_is_read_again() {
    let pipeline = Pipeline::new(1).await;
    let letter = DeadLetter {
        source_topic: "metrics.user-sessions".into(),
        source_partition: 1,
        source_offset: 2,
        reason: "invalid".into(),
        message: "no".into(),
        stage: "aggregator".into(),
        recorded_at: now(),
        event_id: None,
    };
    let marker = |letter_offset| Replayed {
        source: letter.source(),
        letter_offset,
    };
    // All in one batch: the sink is not there yet. Twice the same source: the topic was made anew.
    let first = put(&pipeline, &letter.headers()).await;
    put(&pipeline, &marker(first).headers()).await;
    let second = put(&pipeline, &letter.headers()).await;
    put(&pipeline, &marker(9999).headers()).await;
    // Of no source that could be one, and of no letter: both are kept, and hold up nothing.
    let [source, offset] = marker(first).headers();
    put(&pipeline, &[(source.0, "\0/0/1".into()), offset]).await;
    put(&pipeline, &[source]).await;

    let sink = pipeline.start();
    let letters = "select count(*) from flowmeter.dead_letters";
    pipeline.until(letters, 4).await;
    let closed = "select coalesce(min(dead_letter_offset), -1) from flowmeter.dead_letters \
         where replayed_at is not null having count(*) = 1";
    assert_eq!(pipeline.number(closed).await, first);
    let malformed =
        "select count(*) from flowmeter.dead_letters where reason = 'malformed_envelope'";
    assert_eq!(pipeline.number(malformed).await, 2);
    sink.stop().await;

    // A marker of its own batch, of a letter that was stored before.
    let sink = pipeline.start();
    put(&pipeline, &marker(second).headers()).await;
    let replayed = "select count(*) from flowmeter.dead_letters where replayed_at is not null";
    pipeline.until(replayed, 2).await;
    assert_eq!(pipeline.number(letters).await, 4);
    sink.stop().await;
}
