use rdkafka::message::Message;

use super::*;
use crate::kafka::consumer::{
    Committed, ConsumerSettings, PartitionConsumer, Polled, TopicPartition,
};
use crate::test_support::{TestTopics, kafka};

const TIMEOUT: Duration = Duration::from_secs(10);

struct Fixture {
    topics: TestTopics,
    input: String,
    output: String,
}

impl Fixture {
    async fn new() -> Self {
        let topics = TestTopics::new();
        Self {
            input: topics.create("in", 1).await,
            output: topics.create("out", 1).await,
            topics,
        }
    }

    fn consumer(&self, topic: &str) -> PartitionConsumer {
        let settings = ConsumerSettings::new(&self.topics.name("group"));
        PartitionConsumer::new(&kafka(), &settings, &[topic]).unwrap()
    }

    fn producer(&self) -> TransactionalProducer {
        TransactionalProducer::new(&kafka(), &self.topics.name("producer"), TIMEOUT).unwrap()
    }

    fn offsets(&self, next: i64) -> TopicPartitionList {
        let mut offsets = TopicPartitionList::new();
        let mut added = offsets.add_partition(&self.input, 0);
        added.set_offset(rdkafka::Offset::Offset(next)).unwrap();
        added.set_metadata("a note");
        offsets
    }
}

/// Joins the group and starts at the beginning.
fn join(consumer: &PartitionConsumer) -> Vec<TopicPartition> {
    loop {
        if let Polled::Assigned(partitions) = consumer.poll(TIMEOUT).unwrap() {
            let starts: Vec<_> = partitions.iter().map(|p| (p.clone(), 0)).collect();
            consumer.accept_assignment(&starts).unwrap();
            return partitions;
        }
    }
}

fn read(consumer: &PartitionConsumer, count: usize) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    let deadline = Instant::now() + TIMEOUT;
    while payloads.len() < count && Instant::now() < deadline {
        if let Polled::Record(record) = consumer.poll(Duration::from_millis(100)).unwrap() {
            payloads.push(record.payload().unwrap_or_default().to_vec());
        }
    }
    payloads
}

#[tokio::test(flavor = "multi_thread")]
async fn records_and_offsets_are_committed_together_and_an_aborted_record_is_never_read() {
    let fixture = Fixture::new().await;
    let consumer = fixture.consumer(&fixture.input);
    let partitions = join(&consumer);
    let producer = fixture.producer();

    producer.begin().unwrap();
    producer
        .send(&fixture.output, Some(b"k"), Some(b"aborted"), &[])
        .unwrap();
    producer.abort().unwrap();
    assert_eq!(consumer.committed(&partitions, TIMEOUT).unwrap(), [None]);

    producer.begin().unwrap();
    producer
        .send(&fixture.output, Some(b"k"), Some(b"committed"), &[])
        .unwrap();
    producer
        .commit(&fixture.offsets(7), &consumer.group_metadata().unwrap())
        .unwrap();
    let committed = Committed {
        offset: 7,
        note: "a note".to_owned(),
    };
    assert_eq!(
        consumer.committed(&partitions, TIMEOUT).unwrap(),
        [Some(committed)]
    );

    let settings = ConsumerSettings::new(&fixture.topics.name("reader"));
    let reader = PartitionConsumer::new(&kafka(), &settings, &[&fixture.output]).unwrap();
    join(&reader);
    assert_eq!(read(&reader, 1), [b"committed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_takes_less_than_a_flush_interval_or_two() {
    let fixture = Fixture::new().await;
    let consumer = fixture.consumer(&fixture.input);
    join(&consumer);
    let producer = fixture.producer();
    let mut times = Vec::new();
    for round in 0..40 {
        producer.begin().unwrap();
        for _ in 0..200 {
            producer
                .send(&fixture.output, Some(b"k"), Some(&[7; 300]), &[])
                .unwrap();
        }
        let started = Instant::now();
        producer
            .commit(&fixture.offsets(round), &consumer.group_metadata().unwrap())
            .unwrap();
        times.push(started.elapsed());
    }
    times.sort();
    println!(
        "commit of 200 records with offsets: median {:?}, slowest {:?}",
        times[20], times[39]
    );
    // The client library alone would take 100 ms each.
    assert!(
        times[20] < Duration::from_millis(60),
        "median {:?}",
        times[20]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_many_records_keeps_their_order() {
    let fixture = Fixture::new().await;
    let producer = fixture.producer();
    producer.begin().unwrap();
    let numbers = 0..5_000_u32;
    for number in numbers.clone() {
        let payload = number.to_be_bytes();
        producer
            .send(&fixture.output, None, Some(&payload), &[])
            .unwrap();
    }
    producer.commit_records().unwrap();
    let reader = fixture.consumer(&fixture.output);
    join(&reader);
    let all: Vec<_> = numbers
        .map(|number| number.to_be_bytes().to_vec())
        .collect();
    assert!(
        read(&reader, all.len()) == all,
        "not all, or in another order"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_with_a_record_that_the_client_refuses_is_never_committed() {
    let fixture = Fixture::new().await;
    let producer = fixture.producer();
    producer.begin().unwrap();
    let huge = vec![0; 9 << 20];
    let sent = producer.send(&fixture.output, None, Some(&huge), &[]);
    assert!(matches!(sent, Err(TransactionError::Abortable(_))));
    producer
        .send(&fixture.output, None, Some(b"v"), &[])
        .unwrap();
    for _ in 0..2 {
        let committed = producer.commit_records();
        assert!(matches!(committed, Err(TransactionError::Abortable(_))));
    }
    producer.abort().unwrap();
    producer.begin().unwrap();
    producer
        .send(&fixture.output, None, Some(b"v"), &[])
        .unwrap();
    producer.commit_records().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_fences_its_predecessor() {
    let fixture = Fixture::new().await;
    let consumer = fixture.consumer(&fixture.input);
    join(&consumer);
    let old = fixture.producer();
    old.begin().unwrap();
    old.send(&fixture.output, Some(b"k"), Some(b"zombie"), &[])
        .unwrap();
    let new = fixture.producer();
    let error = old
        .commit(&fixture.offsets(3), &consumer.group_metadata().unwrap())
        .unwrap_err();
    assert!(matches!(error, TransactionError::Fenced(_)), "{error:?}");
    new.begin().unwrap();
    new.commit(&fixture.offsets(1), &consumer.group_metadata().unwrap())
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_delivered_fails_the_commit_and_a_later_transaction_works() {
    let fixture = Fixture::new().await;
    let consumer = fixture.consumer(&fixture.input);
    join(&consumer);
    let producer = fixture.producer();
    producer.begin().unwrap();
    // The broker's limit is one mebibyte; noise does not compress.
    let noise: Vec<u8> = (0..100_000)
        .flat_map(|_| *uuid::Uuid::new_v4().as_bytes())
        .collect();
    producer
        .send(&fixture.output, Some(b"k"), Some(&noise), &[])
        .unwrap();
    let result = producer.commit(&fixture.offsets(3), &consumer.group_metadata().unwrap());
    assert!(
        matches!(result, Err(TransactionError::Abortable(_))),
        "{result:?}"
    );
    producer.abort().unwrap();

    // The client may want a second abort before it gets a new epoch.
    let works = (0..3).any(|_| {
        producer.begin().unwrap();
        let sent = producer.send(&fixture.output, Some(b"k"), Some(b"v"), &[]);
        let metadata = consumer.group_metadata().unwrap();
        let done = sent.and_then(|()| producer.commit(&fixture.offsets(4), &metadata));
        if let Err(error) = &done {
            assert!(matches!(error, TransactionError::Abortable(_)), "{error:?}");
            producer.abort().unwrap();
        }
        done.is_ok()
    });
    assert!(works);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_for_a_group_of_before_a_rebalance_is_to_be_begun_anew() {
    let fixture = Fixture::new().await;
    let first = fixture.consumer(&fixture.input);
    join(&first);
    let producer = fixture.producer();
    let before = first.group_metadata().unwrap();
    let commit = |group: &ConsumerGroupMetadata| {
        producer.begin().unwrap();
        let sent = producer.send(&fixture.output, Some(b"k"), Some(b"v"), &[]);
        let done = sent.and_then(|()| producer.commit(&fixture.offsets(1), group));
        if done.is_err() {
            producer.abort().unwrap();
        }
        done
    };
    commit(&before).unwrap();
    let second = fixture.consumer(&fixture.input);
    let deadline = Instant::now() + TIMEOUT;
    let error = loop {
        for member in [&first, &second] {
            let polled = member.poll(Duration::from_millis(20)).unwrap();
            assert!(matches!(polled, Polled::Idle), "no partition changes hands");
        }
        if let Err(error) = commit(&before) {
            break error;
        }
        assert!(Instant::now() < deadline, "the second does not join");
    };
    assert!(
        matches!(error, TransactionError::Rebalanced(_)),
        "{error:?}"
    );
    while commit(&first.group_metadata().unwrap()).is_err() {
        assert!(Instant::now() < deadline, "the group does not settle");
    }
}

#[test]
fn without_a_broker_a_new_producer_fails_within_its_bound() {
    let nowhere = KafkaClientConfig {
        brokers: "127.0.0.1:1".to_owned(),
        properties: Vec::new(),
    };
    let started = Instant::now();
    let result = TransactionalProducer::new(&nowhere, "x", Duration::from_secs(1));
    assert!(matches!(
        result.err(),
        Some(TransactionError::RetriesExhausted(_))
    ));
    assert!(started.elapsed() < Duration::from_secs(5));
}
