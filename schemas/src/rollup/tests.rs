use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{
    Timestamp,
    event::{AgentInteraction, CommandExecution, ProductivityMetric},
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
    ]
}

fn rollup(events: &[Event]) -> Rollup {
    events.iter().fold(Rollup::default(), |mut sum, event| {
        sum.merge(&Rollup::of(event).unwrap());
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
