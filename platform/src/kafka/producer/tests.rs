use super::*;
use crate::test_support::{TestTopics, kafka};

#[tokio::test]
async fn a_delivery_says_where_the_record_is_and_a_key_keeps_its_partition() {
    let topics = TestTopics::new();
    let topic = topics.create("events", 4).await;
    let producer = EventProducer::new(&kafka(), &ProducerSettings::default()).unwrap();
    let headers = [("trace", b"1".as_slice())];
    let first = producer
        .enqueue(&topic, b"k", b"one", &headers)
        .unwrap()
        .await
        .unwrap();
    let second = producer
        .enqueue(&topic, b"k", b"two", &[])
        .unwrap()
        .await
        .unwrap();
    assert_eq!(second, (first.0, first.1 + 1));
    assert!(producer.flush(Duration::from_secs(5)).await);
    assert_eq!(producer.in_flight(), 0);
    assert!(producer.healthy(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn records_of_many_bursts_keep_their_order() {
    let topics = TestTopics::new();
    let topic = topics.create("events", 1).await;
    let producer = EventProducer::new(&kafka(), &ProducerSettings::default()).unwrap();
    let mut deliveries = Vec::new();
    for number in 0..3_000_u32 {
        let payload = number.to_be_bytes();
        deliveries.push(producer.enqueue(&topic, b"k", &payload, &[]).unwrap());
        if number.is_multiple_of(500) {
            tokio::task::yield_now().await;
        }
    }
    for (number, delivery) in deliveries.into_iter().enumerate() {
        assert_eq!(delivery.await, Ok((0, number as i64)));
    }
    assert_eq!(producer.in_flight(), 0);
}

/// `Utils.toPositive(Utils.murmur2("21")) % 100` by Java's client, from its own test vectors
/// (`murmur2("21") == -973932308`).
#[tokio::test]
async fn keys_go_where_javas_partitioner_puts_them() {
    let topics = TestTopics::new();
    let topic = topics.create("murmur", 100).await;
    let producer = EventProducer::new(&kafka(), &ProducerSettings::default()).unwrap();
    let (partition, _) = producer
        .enqueue(&topic, b"21", b"", &[])
        .unwrap()
        .await
        .unwrap();
    assert_eq!(partition, (-973_932_308_i32 & i32::MAX) % 100);
}

#[tokio::test]
async fn without_a_broker_records_time_out_the_queue_fills_and_health_says_so() {
    let nowhere = KafkaClientConfig {
        brokers: "127.0.0.1:1".to_owned(),
        properties: Vec::new(),
    };
    let settings = ProducerSettings {
        delivery_timeout: Duration::from_millis(300),
        queue_messages: 2,
        ..ProducerSettings::default()
    };
    let producer = EventProducer::new(&nowhere, &settings).unwrap();
    let first = producer.enqueue("t", b"k", b"v", &[]).unwrap();
    let second = producer.enqueue("t", b"k", b"v", &[]).unwrap();
    assert_eq!(
        producer.enqueue("t", b"k", b"v", &[]).err(),
        Some(EnqueueError::QueueFull)
    );
    assert!(!producer.healthy(Duration::from_millis(100)).await);
    assert_eq!(first.await, Err(DeliveryError::TimedOut));
    assert_eq!(second.await, Err(DeliveryError::TimedOut));
}

#[tokio::test]
async fn an_oversize_record_is_refused_at_once() {
    let producer = EventProducer::new(&kafka(), &ProducerSettings::default()).unwrap();
    let payload = vec![0; (1 << 20) + 1];
    assert_eq!(
        producer.enqueue("t", b"k", &payload, &[]).err(),
        Some(EnqueueError::TooLarge)
    );
}

#[tokio::test]
async fn a_broken_producer_is_replaced_and_the_next_record_gets_through() {
    let topics = TestTopics::new();
    let topic = topics.create("events", 1).await;
    let producer = EventProducer::new(&kafka(), &ProducerSettings::default()).unwrap();
    let pending = producer.enqueue(&topic, b"k", b"one", &[]).unwrap();
    producer.current().break_it();
    assert!(producer.is_broken());
    let next = producer.enqueue(&topic, b"k", b"two", &[]).unwrap();
    assert!(!producer.is_broken());
    next.await.unwrap();
    pending.await.unwrap();
}
