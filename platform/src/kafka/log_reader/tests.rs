use super::*;
use crate::kafka::transactions::TransactionalProducer;
use crate::test_support::{TestTopics, kafka};

fn read(mut reader: LogReader) -> Vec<String> {
    let mut values = Vec::new();
    loop {
        match reader.poll().unwrap() {
            Step::Record(record) => values.push(String::from_utf8(record.value.unwrap()).unwrap()),
            Step::Waiting => {}
            Step::End => return values,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_read_to_its_end_whatever_transactions_left_there() {
    let topics = TestTopics::new();
    let (topic, group) = (topics.create("log", 1).await, topics.name("reader"));
    let open = |from| LogReader::open(&kafka(), &group, &topic, from).unwrap();
    assert_eq!(read(open(None)), [""; 0], "an empty topic has an end");
    let producer = |name: &str| {
        let timeout = Duration::from_secs(10);
        TransactionalProducer::new(&kafka(), &topics.name(name), timeout).unwrap()
    };
    let (first, second) = (producer("first"), producer("second"));
    let put = |producer: &TransactionalProducer, value: &str| {
        let value = Some(value.as_bytes());
        producer.send_to(&topic, Some(0), None, value, &[]).unwrap();
        producer.flush().unwrap();
    };
    first.begin().unwrap();
    put(&first, "a");
    put(&first, "b");
    first.commit_records().unwrap();
    assert_eq!(read(open(None)), ["a", "b"], "a mark of a commit is last");
    first.begin().unwrap();
    put(&first, "aborted");
    first.abort().unwrap();
    assert_eq!(read(open(None)), ["a", "b"], "a mark of an abort is last");

    // What was committed behind a transaction that is open has to be seen.
    first.begin().unwrap();
    put(&first, "open");
    second.begin().unwrap();
    put(&second, "behind");
    second.commit_records().unwrap();
    let reading = std::thread::scope(|scope| {
        let reading = scope.spawn(|| read(open(None)));
        std::thread::sleep(Duration::from_millis(300));
        assert!(!reading.is_finished(), "the end is not stable yet");
        first.commit_records().unwrap();
        reading.join().unwrap()
    });
    assert_eq!(reading, ["a", "b", "open", "behind"]);

    let hours_ago = |hours: i64| {
        let now = chrono::Utc::now() - chrono::TimeDelta::hours(hours);
        Some(Timestamp::try_from(now).unwrap())
    };
    assert_eq!(read(open(hours_ago(1))).len(), 4);
    assert_eq!(read(open(hours_ago(-1))).len(), 0, "nothing is that young");
    let ranges = BTreeMap::from([(0, (1, 6))]);
    let some = LogReader::open_at(&kafka(), &group, &topic, &ranges).unwrap();
    assert_eq!(read(some), ["b", "open"]);
    let none = LogReader::open(&kafka(), &group, &topics.name("none"), None);
    assert!(matches!(none, Err(LogReaderError::NoTopic(_))));
}

#[test]
fn what_lies_behind_the_end_is_not_read() {
    let mut left = BTreeMap::from([(0, Range { start: 3, end: 5 })]);
    assert!(advance(&mut left, 0, 3));
    assert!(
        !advance(&mut left, 0, 7),
        "the record before the end is gone"
    );
    assert!(left.is_empty());
    assert!(!advance(&mut left, 0, 8));
}
