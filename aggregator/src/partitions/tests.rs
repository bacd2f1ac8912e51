use platform::kafka::admission::Sighting;
use proptest::prelude::*;
use schemas::Event;
use schemas::event::CommandExecution;
use uuid::Uuid;

use super::*;
use crate::test_event::command;

const OFF: RefusalLimit = RefusalLimit {
    window: 10,
    max_share: 1.0,
};
const MINUTE: Duration = Duration::from_secs(60);

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis).unwrap()
}

fn partition() -> TopicPartition {
    TopicPartition::new("t", 0)
}

#[test]
fn what_was_counted_before_is_read_and_not_committed_again() {
    let partition = partition();
    let mut partitions = Partitions::new(MINUTE, MINUTE, OFF);
    assert!(partitions.reading(&partition).is_none());
    partitions.assign(partition.clone(), 5, [3].into());
    assert_eq!(
        partitions.reading(&partition).unwrap().part(3),
        Part::Refused
    );
    assert_eq!(partitions.reading(&partition).unwrap().part(4), Part::Known);
    partitions
        .reading(&partition)
        .unwrap()
        .read(4, at(10), false);
    assert_eq!(partitions.positions(), []);
    assert_eq!(partitions.reading(&partition).unwrap().part(5), Part::New);
    partitions
        .reading(&partition)
        .unwrap()
        .read(5, at(20), false);
    partitions
        .reading(&partition)
        .unwrap()
        .read(7, at(30), true);
    let position = Position {
        partition: partition.clone(),
        next: 8,
        note: "30".to_owned(),
    };
    assert_eq!(partitions.positions(), [position]);
    partitions.committed();
    assert_eq!(partitions.positions(), []);
    partitions.release(std::slice::from_ref(&partition));
    assert!(partitions.reading(&partition).is_none());
}

#[test]
fn ids_are_read_again_from_a_horizon_before_the_last_record() {
    let partitions = Partitions::new(MINUTE, MINUTE, OFF);
    let from = |note: &str| {
        partitions.warm_up_from(&Committed {
            offset: 9,
            note: note.to_owned(),
        })
    };
    assert_eq!(from("1700000100000"), Some(1_700_000_040_000));
    assert_eq!(from("30"), Some(0));
    // Of an older version, or moved by an operator.
    assert_eq!(from(""), None);
}

#[test]
fn a_watermark_is_published_when_it_passes_a_minute_and_silence_moves_it_too() {
    let partition = partition();
    let mut partitions = Partitions::new(MINUTE, MINUTE, OFF);
    partitions.assign(partition.clone(), 0, BTreeSet::new());
    assert!(partitions.watermarks().is_empty(), "nothing is known yet");
    assert_eq!(partitions.oldest_watermark(), None);
    partitions
        .reading(&partition)
        .unwrap()
        .read(0, at(130_000), false);
    let first = partitions.watermarks();
    assert_eq!(first, [(partition.clone(), at(60_000))].into());
    partitions.published(&first);
    assert_eq!(partitions.oldest_watermark(), Some(at(60_000)));
    partitions
        .reading(&partition)
        .unwrap()
        .read(1, at(179_999), false);
    assert!(partitions.watermarks().is_empty(), "within the same minute");
    assert!(partitions.silent(at(179_999)).is_empty());
    assert_eq!(partitions.silent(at(180_000)), vec![partition.clone()]);
    partitions.read_to_end(&partition, at(180_000));
    let second = partitions.watermarks();
    assert_eq!(second, [(partition.clone(), at(120_000))].into());
    // A clock that was set back moves nothing back.
    partitions
        .reading(&partition)
        .unwrap()
        .read(2, at(100_000), false);
    assert_eq!(partitions.watermarks(), second);
}

fn event(id: u128, time: i64) -> Event {
    Event::CommandExecution(CommandExecution {
        event_id: Uuid::from_u128(id),
        execution_time_ms: time,
        ..command()
    })
}

/// What the log holds at one offset.
#[derive(Debug, Clone, Copy)]
struct Logged {
    log_time: i64,
    /// `None`: a record that is refused.
    event: Option<(u128, i64)>,
}

/// What was said of a record, and whether one more refusal stopped the partition there.
type Said = (Option<Sighting>, bool);

/// Reads the log from where `committed` says, up to `until`, and publishes what it says of each
/// new record, as a session does that commits after every record for which `commits` says so.
fn session(
    log: &[Logged],
    limit: RefusalLimit,
    committed: &mut Option<Position>,
    until: usize,
    commits: &[bool],
    published: &mut Vec<Said>,
) {
    let horizon = Duration::from_secs(10);
    let mut partitions = Partitions::new(horizon, MINUTE, limit);
    let (first, from) = match committed {
        None => (0, 0),
        Some(position) => {
            let committed = Committed {
                offset: position.next,
                note: position.note.clone(),
            };
            let millis = partitions.warm_up_from(&committed).unwrap();
            // As the broker finds it: the first record of that log time or later.
            let from = log.iter().position(|r| r.log_time >= millis).unwrap();
            (position.next, from.min(position.next as usize))
        }
    };
    let partition = partition();
    partitions.assign(partition.clone(), first, BTreeSet::new());
    // In the open transaction: lost if the session ends before its commit.
    let mut open = Vec::new();
    for (offset, record) in log.iter().enumerate().take(until).skip(from) {
        let (number, log_time) = (offset as i64, at(record.log_time));
        let reading = partitions.reading(&partition).unwrap();
        let part = reading.part(number);
        let stops =
            record.event.is_none() && part == Part::New && reading.too_many_refused().is_some();
        if stops {
            open.push((None, true));
        }
        reading.read(number, log_time, record.event.is_none());
        let event = record.event.map(|(id, time)| event(id, time));
        let sighting = event.map(|event| reading.see(&event, log_time));
        if part == Part::New {
            if !stops {
                open.push((sighting, false));
            }
            if commits[offset] {
                *committed = partitions.positions().into_iter().next();
                partitions.committed();
                published.append(&mut open);
            }
        }
    }
}

proptest! {
    /// Admission is a function of the log: whatever the commits, and wherever sessions end
    /// without one, the same is published of every record as by a session that read all of it.
    #[test]
    fn restarts_change_nothing(
        records in prop::collection::vec(
            (0i64..4000, prop::option::weighted(0.8, (0u128..12, 0i64..2)), prop::bool::weighted(0.3)),
            1..120
        ),
        ends in prop::collection::vec(0usize..120, 0..6),
        max_share in prop::sample::select(vec![0.3, 0.6, 1.0])
    ) {
        let limit = RefusalLimit { window: 4, max_share };
        let mut log_time = 1_700_000_000_000;
        let mut log = Vec::new();
        for (after, event, _) in &records {
            log_time += after;
            log.push(Logged { log_time, event: *event });
        }
        let all = log.len();
        let at_the_end: Vec<bool> = (0..all).map(|n| n + 1 == all).collect();
        let mut expected = Vec::new();
        session(&log, limit, &mut None, all, &at_the_end, &mut expected);
        prop_assert_eq!(expected.len(), all);

        let mut commits: Vec<bool> = records.iter().map(|(.., commit)| *commit).collect();
        let (mut committed, mut published) = (None, Vec::new());
        for end in ends {
            session(&log, limit, &mut committed, end.min(all), &commits, &mut published);
        }
        commits[all - 1] = true;
        session(&log, limit, &mut committed, all, &commits, &mut published);
        prop_assert_eq!(published.len(), all);
        for (said, wanted) in published.iter().zip(&expected) {
            prop_assert_eq!(said.0, wanted.0);
        }
    }
}
