use std::collections::HashMap;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{
    Timestamp, Window,
    event::{AgentInteraction, CommandExecution, ProductivityMetric, SessionKind, UserSession},
};

fn command(time: i64, status: Status) -> Event {
    Event::CommandExecution(CommandExecution {
        event_id: Uuid::nil(),
        organization_id: Uuid::nil(),
        timestamp: Timestamp::MIN,
        user_id: Uuid::nil(),
        team_id: None,
        project_id: None,
        command_name: "c".into(),
        execution_time_ms: time,
        status,
        command_args: None,
        error_message: None,
        context: None,
    })
}

fn agent(time: i64, status: Status, tokens: Option<i64>, cost: Option<i128>) -> Event {
    Event::AgentInteraction(AgentInteraction {
        event_id: Uuid::nil(),
        organization_id: Uuid::nil(),
        timestamp: Timestamp::MIN,
        user_id: Uuid::nil(),
        team_id: None,
        project_id: None,
        agent_name: "a".into(),
        interaction_type: "chat".into(),
        execution_time_ms: time,
        status,
        input_tokens: tokens,
        output_tokens: tokens.map(|t| t / 2),
        cost_usd: cost.map(Usd::from_units),
        model: None,
        command_execution_id: None,
        error_message: None,
        metadata: None,
    })
}

fn metric(value: f64) -> Event {
    Event::ProductivityMetric(ProductivityMetric {
        event_id: Uuid::nil(),
        organization_id: Uuid::nil(),
        timestamp: Timestamp::MIN,
        user_id: None,
        team_id: None,
        project_id: None,
        metric_type: "m".into(),
        metric_value: value,
        metric_unit: None,
        dimensions: None,
    })
}

fn session(kind: SessionKind) -> UserSession {
    UserSession {
        event_id: Uuid::nil(),
        organization_id: Uuid::nil(),
        timestamp: Timestamp::MIN,
        user_id: Uuid::nil(),
        team_id: None,
        project_id: None,
        session_id: "s".into(),
        kind,
        session_start: None,
        session_end: None,
        duration_minutes: None,
        commands_executed: None,
        agents_used: None,
        productivity_score: None,
        context: None,
    }
}

const SESSION_KINDS: [SessionKind; 3] = [
    SessionKind::Started,
    SessionKind::Updated,
    SessionKind::Ended,
];

fn sessions() -> impl Strategy<Value = Event> {
    (
        prop::sample::select(&SESSION_KINDS[..]),
        prop::option::of(0.0f64..=1440.0),
        prop::option::of(0i64..=1_000_000),
        prop::option::of(0.0f64..=100.0),
    )
        .prop_map(|(kind, duration, commands, score)| {
            Event::UserSession(UserSession {
                duration_minutes: duration,
                commands_executed: commands,
                productivity_score: score,
                ..session(kind)
            })
        })
}

fn events() -> impl Strategy<Value = Event> {
    let status = || prop::sample::select(&Status::ALL[..]);
    let time = || prop_oneof![0i64..50, 0i64..=3_600_000];
    let tokens = prop::option::of(0i64..=1_000_000_000);
    let cost = prop::option::of(0..=Usd::EVENT_MAX.units());
    prop_oneof![
        (time(), status()).prop_map(|(t, s)| command(t, s)),
        (time(), status(), tokens, cost).prop_map(|(t, s, k, c)| agent(t, s, k, c)),
        (-1e18f64..=1e18).prop_map(metric),
        (-1.0f64..=1.0).prop_map(metric),
        sessions(),
    ]
}

fn rollup(events: &[Event]) -> Rollup {
    events.iter().fold(Rollup::default(), |mut sum, event| {
        sum.merge(&Rollup::of(event));
        sum
    })
}

fn merged(a: &Rollup, b: &Rollup) -> Rollup {
    let mut sum = a.clone();
    sum.merge(b);
    sum
}

fn some(events: impl Strategy<Value = Event>) -> impl Strategy<Value = Vec<Event>> {
    prop::collection::vec(events, 0..20)
}

proptest! {
    #[test]
    fn merge_is_a_commutative_monoid(a in some(events()), b in some(events()), c in some(events())) {
        let [a, b, c] = [a, b, c].map(|e| rollup(&e));
        prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        prop_assert_eq!(&merged(&a, &Rollup::default()), &a);
        prop_assert_eq!(&merged(&Rollup::default(), &a), &a);
    }

    #[test]
    fn any_order_and_grouping_gives_what_one_by_one_gives(
        (events, shuffled, cuts) in some(events()).prop_flat_map(|e| {
            let n = e.len();
            (Just(e.clone()), Just(e).prop_shuffle(), prop::collection::vec(0..=n, 0..4))
        })
    ) {
        let mut cuts = cuts;
        cuts.extend([0, shuffled.len()]);
        cuts.sort_unstable();
        let grouped = cuts
            .windows(2)
            .map(|cut| rollup(&shuffled[cut[0]..cut[1]]))
            .fold(Rollup::default(), |sum, part| merged(&sum, &part));
        prop_assert_eq!(grouped, rollup(&events));
    }

    #[test]
    fn adding_an_event_is_merging_its_rollup(events in some(events())) {
        let mut added = Rollup::default();
        events.iter().for_each(|event| added.add(event));
        prop_assert_eq!(added, rollup(&events));
    }

    #[test]
    fn sums_hold_every_event_in_its_minute_and_series(events in some(events())) {
        let mut sums = Sums::default();
        let mut plain: HashMap<SumKey, Rollup> = HashMap::new();
        // Twice, so that each sum is found again.
        for event in events.iter().chain(&events) {
            sums.add(event);
            let common = event.common();
            let minute = Window::M1.start(common.timestamp);
            let key = (common.organization_id, minute, Series::of(event));
            plain.entry(key).or_default().merge(&Rollup::of(event));
        }
        prop_assert_eq!(sums.len(), plain.len());
        prop_assert_eq!(sums.drain().collect::<HashMap<_, _>>(), plain);
        prop_assert!(sums.is_empty());
    }

    #[test]
    fn a_rollup_says_what_its_events_say(times in prop::collection::vec((0i64..=3_600_000, 0usize..4), 1..50)) {
        let events: Vec<_> = times.iter().map(|(t, s)| command(*t, Status::ALL[*s])).collect();
        let rollup = rollup(&events);
        prop_assert_eq!(rollup.count, times.len() as u64);
        for status in Status::ALL {
            let expected = times.iter().filter(|(_, s)| Status::ALL[*s] == status).count();
            prop_assert_eq!(rollup.with_status(status), expected as u64);
        }
        let time = rollup.execution_time.unwrap();
        prop_assert_eq!(time.sum as i64, times.iter().map(|(t, _)| t).sum::<i64>());
        prop_assert_eq!(Some(time.min as i64), times.iter().map(|(t, _)| *t).min());
        prop_assert_eq!(Some(time.max as i64), times.iter().map(|(t, _)| *t).max());
        prop_assert_eq!(time.histogram.count(), rollup.count);
    }

    #[test]
    fn an_entry_gives_its_parts_back(events in some(events()), minute in 0i64..1_000_000) {
        let series = Series {
            kind: SeriesKind::Agent,
            name: "n".into(),
            model: Some("m".into()),
            team_id: None,
            project_id: Some(Uuid::nil()),
            user_id: None,
        };
        let start = Timestamp::from_micros(minute * 60_000_000).unwrap();
        let rollup = rollup(&events);
        let entry = RollupEntry::new(start, series.clone(), &rollup);
        prop_assert_eq!(entry.into_parts(), Ok((start, series, rollup)));
    }
}

#[test]
fn values_are_summed_exactly() {
    let values = [0.1, 0.2, 1e15, -1e15, 1e-12];
    let sum = rollup(&values.map(metric)).values.unwrap();
    assert_eq!(sum.sum, 300_000_000_001);
    assert_eq!((sum.min, sum.max), (-1e15, 1e15));
}

#[test]
fn a_sessions_end_says_what_it_came_to_and_what_came_before_is_counted_only() {
    let told = |kind| {
        Event::UserSession(UserSession {
            duration_minutes: Some(90.0),
            commands_executed: Some(12),
            productivity_score: Some(-0.0),
            ..session(kind)
        })
    };
    for kind in [SessionKind::Started, SessionKind::Updated] {
        let counted = Rollup {
            count: 1,
            ..Rollup::default()
        };
        assert_eq!(Rollup::of(&told(kind)), counted);
        assert_eq!(Series::of(&told(kind)).name, kind.as_str());
    }
    let ended = Rollup::of(&told(SessionKind::Ended));
    assert_eq!(ended.execution_time, Some(ExecutionTime::of(5_400_000)));
    assert_eq!((ended.count, ended.commands_executed), (1, 12));
    let scores = ended.values.unwrap();
    assert_eq!((scores.count, scores.sum), (1, 0));
    assert!(scores.min.is_sign_positive());
}

#[test]
fn a_mean_is_over_the_sessions_that_say_a_number() {
    let ended = |duration, score| {
        Event::UserSession(UserSession {
            duration_minutes: duration,
            productivity_score: score,
            ..session(SessionKind::Ended)
        })
    };
    let sum = rollup(&[
        ended(Some(10.0), Some(80.5)),
        ended(None, None),
        ended(Some(20.0), None),
    ]);
    let time = sum.execution_time.as_ref().unwrap();
    assert_eq!(
        (sum.count, time.histogram.count(), time.sum),
        (3, 2, 1_800_000)
    );
    assert_eq!(sum.values, Some(Values::of(80.5)));
    assert_eq!(sum.values.unwrap().count, 1);
}

#[test]
fn a_session_without_a_duration_was_as_long_as_from_its_start_to_its_end() {
    let at = |micros| Some(Timestamp::from_micros(micros).unwrap());
    for (duration, start, end, expected) in [
        (None, at(1_000_000), at(61_999_999), Some(60_999)),
        (Some(2.3), at(0), at(1_000_000), Some(138_000)),
        (None, at(5), at(5), Some(0)),
        (None, at(0), None, None),
        (None, None, at(0), None),
        (Some(1440.0), None, None, Some(86_400_000)),
    ] {
        let event = Event::UserSession(UserSession {
            duration_minutes: duration,
            session_start: start,
            session_end: end,
            ..session(SessionKind::Ended)
        });
        let time = Rollup::of(&event).execution_time;
        assert_eq!(time, expected.map(ExecutionTime::of), "{duration:?}");
    }
}

#[test]
fn an_entry_with_values_but_no_count_of_them_has_one_in_every_event() {
    let parts = |rollup: &Rollup| {
        let series = Series::of(&metric(0.0));
        let entry = RollupEntry::new(Timestamp::MIN, series, rollup);
        (serde_json::to_value(&entry).unwrap(), entry.into_parts())
    };
    let two = rollup(&[metric(0.1), metric(0.2)]);
    let (json, given_back) = parts(&two);
    assert_eq!(json["value_count"], serde_json::Value::Null);
    assert_eq!(given_back.unwrap().2.values.unwrap().count, 2);
    let mut partly = two;
    partly.count = 5;
    let (json, given_back) = parts(&partly);
    assert_eq!(json["value_count"], 2);
    assert_eq!(given_back.unwrap().2, partly);
}
