//! Rebalances on a real Kafka.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use rdkafka::message::Message;

use super::*;
use crate::kafka::producer::{EventProducer, ProducerSettings};
use crate::test_support::{TestTopics, kafka};

const TIMEOUT: Duration = Duration::from_secs(10);
const BOUND: Duration = Duration::from_secs(60);

/// What all members did, in order: the "database" with its cursors.
#[derive(Default)]
struct Store {
    seen: BTreeMap<(i32, i64), u32>,
    cursors: BTreeMap<i32, i64>,
}

/// A member that holds records back and stores them when it flushes.
struct Member {
    stop: Arc<AtomicBool>,
    events: Arc<Mutex<Vec<String>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Member {
    fn start(group: &str, topic: &str, store: Arc<Mutex<Store>>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let events = Arc::new(Mutex::new(Vec::new()));
        let (group, topic) = (group.to_owned(), topic.to_owned());
        let thread = {
            let (stop, events) = (stop.clone(), events.clone());
            thread::spawn(move || run(&group, &topic, &store, &stop, &events))
        };
        Self {
            stop,
            events,
            thread: Some(thread),
        }
    }

    fn saw(&self, what: &str) -> usize {
        let events = self.events.lock().unwrap();
        events
            .iter()
            .filter(|event| event.starts_with(what))
            .count()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn run(
    group: &str,
    topic: &str,
    store: &Mutex<Store>,
    stop: &AtomicBool,
    events: &Mutex<Vec<String>>,
) {
    let consumer =
        PartitionConsumer::new(&kafka(), &ConsumerSettings::new(group), &[topic]).unwrap();
    let mut held: Vec<(i32, i64)> = Vec::new();
    let flush = |held: &mut Vec<(i32, i64)>| {
        let mut store = store.lock().unwrap();
        for (partition, offset) in held.drain(..) {
            *store.seen.entry((partition, offset)).or_default() += 1;
            store.cursors.insert(partition, offset + 1);
        }
    };
    while !stop.load(Ordering::Relaxed) {
        match consumer.poll(Duration::from_millis(20)).unwrap() {
            Polled::Record(record) => held.push((record.partition(), record.offset())),
            Polled::Assigned(partitions) => {
                events
                    .lock()
                    .unwrap()
                    .push(format!("assigned {}", partitions.len()));
                let starts: Vec<_> = partitions
                    .into_iter()
                    .map(|partition| {
                        let cursor = store
                            .lock()
                            .unwrap()
                            .cursors
                            .get(&partition.partition)
                            .copied();
                        let (low, high) = consumer.watermarks(&partition, TIMEOUT).unwrap();
                        (partition, start_offset(cursor, low, high).unwrap())
                    })
                    .collect();
                consumer.accept_assignment(&starts).unwrap();
            }
            Polled::Revoked(partitions) => {
                events
                    .lock()
                    .unwrap()
                    .push(format!("revoked {}", partitions.len()));
                // Slow on purpose: nobody may get these before they are stored.
                thread::sleep(Duration::from_millis(100));
                flush(&mut held);
                consumer.release(&partitions).unwrap();
            }
            Polled::Lost(partitions) => {
                events
                    .lock()
                    .unwrap()
                    .push(format!("lost {}", partitions.len()));
                held.clear();
                consumer.release(&partitions).unwrap();
            }
            Polled::Idle => {}
        }
        if held.len() >= 50 {
            flush(&mut held);
        }
    }
    flush(&mut held);
    consumer.close();
}

fn wait(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + BOUND;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {BOUND:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

async fn produce(producer: &EventProducer, topic: &str, count: u32) {
    let deliveries: Vec<_> = (0..count)
        .map(|i| {
            producer
                .enqueue(topic, &i.to_be_bytes(), b"v", &[])
                .unwrap()
        })
        .collect();
    for delivery in deliveries {
        delivery.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_move_between_members_and_every_record_is_stored_once() {
    let topics = TestTopics::new();
    let topic = topics.create("events", 4).await;
    let group = topics.name("group");
    let producer = EventProducer::new(&kafka(), &ProducerSettings::default()).unwrap();
    let store = Arc::new(Mutex::new(Store::default()));

    let mut first = Member::start(&group, &topic, store.clone());
    wait("the first member's assignment", || {
        first.saw("assigned 4") == 1
    });
    produce(&producer, &topic, 1000).await;

    let mut second = Member::start(&group, &topic, store.clone());
    wait("a revocation", || first.saw("revoked 2") == 1);
    wait("the second member's assignment", || {
        second.saw("assigned 2") == 1
    });
    produce(&producer, &topic, 1000).await;

    let started = Instant::now();
    second.end();
    println!("leaving the group took {:?}", started.elapsed());
    wait("the partitions' return", || first.saw("assigned 2") == 1);
    println!("the partitions were back after {:?}", started.elapsed());
    produce(&producer, &topic, 1000).await;

    wait("every record", || {
        store.lock().unwrap().cursors.values().sum::<i64>() >= 2950
    });
    first.end();
    let store = store.lock().unwrap();
    assert_eq!(store.seen.len(), 3000);
    assert!(store.seen.values().all(|count| *count == 1));
    assert_eq!(first.saw("lost"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_closes_though_its_owner_never_answered() {
    let topics = TestTopics::new();
    let topic = topics.create("events", 2).await;
    let settings = ConsumerSettings::new(&topics.name("group"));
    let consumer = PartitionConsumer::new(&kafka(), &settings, &[&topic]).unwrap();
    wait("an assignment", || {
        matches!(consumer.poll(TIMEOUT).unwrap(), Polled::Assigned(_))
    });
    let started = Instant::now();
    consumer.close();
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_outside_the_log_is_an_error_and_not_a_jump() {
    let topics = TestTopics::new();
    let topic = topics.create("events", 1).await;
    let settings = ConsumerSettings::new(&topics.name("group"));
    let consumer = PartitionConsumer::new(&kafka(), &settings, &[&topic]).unwrap();
    wait("an error", || {
        match consumer.poll(Duration::from_millis(50)) {
            Ok(Polled::Assigned(partitions)) => {
                consumer
                    .accept_assignment(&[(partitions[0].clone(), 500)])
                    .unwrap();
                false
            }
            Ok(_) => false,
            Err(error) => {
                assert_eq!(error, ConsumerError::OffsetOutOfRange);
                true
            }
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_and_times_are_found_and_hints_arrive() {
    let topics = TestTopics::new();
    let topic = topics.create("events", 1).await;
    let producer = EventProducer::new(&kafka(), &ProducerSettings::default()).unwrap();
    produce(&producer, &topic, 10).await;
    let settings = ConsumerSettings::new(&topics.name("group"));
    let consumer = PartitionConsumer::new(&kafka(), &settings, &[&topic]).unwrap();
    let partition = TopicPartition::new(&topic, 0);
    wait("an assignment", || match consumer.poll(TIMEOUT).unwrap() {
        Polled::Assigned(_) => {
            consumer
                .accept_assignment(&[(partition.clone(), 4)])
                .unwrap();
            true
        }
        _ => false,
    });
    wait(
        "the record at the start",
        || matches!(consumer.poll(TIMEOUT).unwrap(), Polled::Record(record) if record.offset() == 4),
    );
    assert_eq!(consumer.watermarks(&partition, TIMEOUT).unwrap(), (0, 10));
    assert_eq!(
        consumer.offset_at_time(&partition, 0, TIMEOUT).unwrap(),
        Some(0)
    );
    assert_eq!(
        consumer
            .offset_at_time(&partition, i64::MAX / 2, TIMEOUT)
            .unwrap(),
        None
    );
    assert_eq!(
        consumer
            .committed(std::slice::from_ref(&partition), TIMEOUT)
            .unwrap(),
        [None]
    );
    consumer.commit_hint(&[(partition.clone(), 5)]).unwrap();
    wait("the hint", || {
        let committed = consumer.committed(std::slice::from_ref(&partition), TIMEOUT);
        matches!(&committed.unwrap()[..], [Some(committed)] if committed.offset == 5)
    });

    // Paused, the consumer stays a member and reads on where it was.
    consumer.pause(std::slice::from_ref(&partition)).unwrap();
    for _ in 0..5 {
        assert!(matches!(
            consumer.poll(Duration::from_millis(50)).unwrap(),
            Polled::Idle
        ));
    }
    consumer.resume(std::slice::from_ref(&partition)).unwrap();
    wait("the next record", || {
        match consumer.poll(TIMEOUT).unwrap() {
            Polled::Record(record) => {
                assert_eq!(record.offset(), 5);
                true
            }
            _ => false,
        }
    });
}
