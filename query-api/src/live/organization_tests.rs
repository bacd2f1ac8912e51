//! However deltas come, and however often and long a client is away: what it holds in the end
//! is the plain sum of all of them.

use proptest::prelude::*;
use schemas::{
    event::Status,
    rollup::{ExecutionTime, SeriesKind, Values},
};
use uuid::Uuid;

use super::*;
use crate::{
    aggregated::{fold::Part, group::Key},
    live::matching,
};

const NOW: &str = "2026-03-01T12:34:56Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn query(pairs: &[(&str, &str)]) -> ViewQuery {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let pairs: Vec<_> = pairs.iter().map(owned).collect();
    ViewQuery::parse(&pairs, now()).unwrap().0
}

/// A delta `minutes` before now (or after, for events that are ahead).
fn delta(minutes: i64, kind: usize, name: usize, user: u128, millis: u64) -> Delta {
    let kind = SeriesKind::ALL[kind];
    let name = match kind {
        SeriesKind::Session => ["started", "ended"][name],
        SeriesKind::Metric => ["error_rate", "productivity_score"][name],
        _ => ["a", "b"][name],
    };
    let series = Series {
        kind,
        name: name.to_owned(),
        model: None,
        team_id: (user > 1).then_some(Uuid::from_u128(9)),
        project_id: None,
        user_id: (user > 0).then_some(Uuid::from_u128(user)),
    };
    let rollup = Rollup {
        count: 1,
        by_status: Status::ALL.map(|status| u64::from(status == Status::Success)),
        execution_time: Some(ExecutionTime::of(millis)),
        values: (kind == SeriesKind::Metric).then(|| Values::of(millis as f64)),
        ..Rollup::default()
    };
    let minute = Window::M1
        .start(now())
        .saturating_add_seconds(-60 * minutes);
    (minute, series, rollup)
}

/// A client as it is told to be: a row is replaced as a whole, and what is before `from` goes.
#[derive(Debug, Clone, Default, PartialEq)]
struct Client {
    told: Option<Position>,
    rows: Vec<(Group, bool)>,
}

impl Client {
    fn hear(&mut self, told: Told, window: Window) {
        if self.told.is_none() {
            self.rows.clear();
        }
        for row in told.rows {
            let end = row.bucket_start.saturating_add_seconds(window.seconds());
            let complete = told.until.watermark.is_some_and(|until| end <= until);
            let same = |(old, _): &(Group, bool)| {
                (old.bucket_start, &old.key) == (row.bucket_start, &row.key)
            };
            self.rows.retain(|old| !same(old));
            self.rows.push((row, complete));
        }
        self.rows.retain(|(row, _)| row.bucket_start >= told.from);
        self.told = Some(told.until);
    }

    fn sorted(mut self) -> Vec<(Group, bool)> {
        self.rows
            .sort_by_key(|(row, _)| (row.bucket_start, format!("{:?}", row.key)));
        self.rows
    }
}

/// What SQL over all deltas would give.
fn fold(deltas: &[Delta], query: &ViewQuery, from: Timestamp, until: Option<Timestamp>) -> Client {
    let mut client = Client::default();
    for (minute, series, rollup) in deltas {
        let bucket = query.window().start(*minute);
        if bucket < from || !matching::admits(query.filter(), query.group_by(), series) {
            continue;
        }
        let key = matching::key(query.group_by(), series);
        let rows = &mut client.rows;
        let known = rows
            .iter()
            .position(|(row, _)| row.bucket_start == bucket && row.key == key);
        let at = known.unwrap_or_else(|| {
            let end = bucket.saturating_add_seconds(query.window().seconds());
            let complete = until.is_some_and(|until| end <= until);
            rows.push((Group::empty(bucket, key), complete));
            rows.len() - 1
        });
        rows[at].0.add(
            Part::of(series.kind.as_str(), &series.name).unwrap(),
            rollup,
        );
    }
    client
}

#[derive(Debug, Clone)]
enum Step {
    Deltas(Vec<Delta>),
    /// The client that looks now and then does.
    Look,
    /// The watermark moves, to so many minutes before now.
    Watermark(i64),
    /// Nobody looks for a while, and the view is closed.
    Reopen,
    /// The instance is started again and reads the log.
    Restart,
    /// Time goes on by some minutes.
    Wait(i64),
}

fn deltas() -> impl Strategy<Value = Vec<Delta>> {
    let one = (-5i64..70, 0usize..4, 0usize..2, 0u128..4, 0u64..5000);
    let one = one
        .prop_map(|(minutes, kind, name, user, millis)| delta(minutes, kind, name, user, millis));
    prop::collection::vec(one, 1..8)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => deltas().prop_map(Step::Deltas),
        3 => Just(Step::Look),
        1 => (0i64..60).prop_map(Step::Watermark),
        1 => Just(Step::Reopen),
        1 => Just(Step::Restart),
        1 => (1i64..20).prop_map(Step::Wait),
    ]
}

fn queries() -> Vec<ViewQuery> {
    let user = Uuid::from_u128(2).to_string();
    vec![
        query(&[]),
        query(&[("group_by", "user"), ("buckets", "7")]),
        query(&[("window", "5m"), ("group_by", "command")]),
        query(&[("window", "15m"), ("group_by", "team"), ("buckets", "2")]),
        query(&[("window", "1h"), ("user_id", &user)]),
        query(&[("window", "1d"), ("group_by", "metric_type")]),
    ]
}

proptest! {
    #[test]
    fn whoever_was_away_ends_with_what_the_others_have(
        steps in prop::collection::vec(step(), 1..40), which in 0usize..6
    ) {
        let query = queries().swap_remove(which);
        let window = query.window();
        let (mut time, mut watermark) = (now(), None);
        let mut organization = Organization::new(1, time);
        let mut view = organization.open(query.clone(), time);
        let mut log: Vec<Vec<Delta>> = Vec::new();
        // One that is told of every change, one now and then, and one only in the end.
        let (mut steady, mut casual, mut away) = <(Client, Client, Client)>::default();
        let tell = |organization: &Organization, view, client: &mut Client, time, watermark| {
            let told = organization.tell(view, client.told, time, watermark).unwrap();
            client.hear(told, window);
        };
        tell(&organization, view, &mut away, time, watermark);
        for step in steps {
            match step {
                Step::Deltas(deltas) => {
                    log.push(deltas.clone());
                    organization.add(deltas, time);
                }
                Step::Look => tell(&organization, view, &mut casual, time, watermark),
                Step::Watermark(minutes) => {
                    let until = Window::M1.start(now()).saturating_add_seconds(-60 * minutes);
                    watermark = watermark.max(Some(until));
                }
                Step::Reopen => {
                    organization.close(view);
                    view = organization.open(query.clone(), time);
                }
                Step::Restart => {
                    // Cursors of before are not known any more: a gap, and a snapshot.
                    organization = Organization::new(7, time);
                    for deltas in &log {
                        organization.add(deltas.clone(), time);
                    }
                    view = organization.open(query.clone(), time);
                    for client in [&mut steady, &mut casual, &mut away] {
                        client.told = None;
                    }
                }
                Step::Wait(minutes) => {
                    time = time.saturating_add_seconds(60 * minutes);
                    organization.advance(time);
                }
            }
            tell(&organization, view, &mut steady, time, watermark);
        }
        for client in [&mut casual, &mut away] {
            tell(&organization, view, client, time, watermark);
        }
        let from = oldest(window, query.buckets(), time);
        let expected = fold(&log.concat(), &query, from, watermark).sorted();
        prop_assert_eq!(&steady.sorted(), &expected);
        prop_assert_eq!(&casual.sorted(), &expected);
        prop_assert_eq!(&away.sorted(), &expected);
        // Asked once, the same.
        let mut once = Client::default();
        once.hear(organization.look(query, time, watermark), window);
        prop_assert_eq!(once.sorted(), expected);
    }
}

#[test]
fn a_change_is_told_once_and_a_completed_bucket_too() {
    let mut organization = Organization::new(1, now());
    let view = organization.open(query(&[("group_by", "user")]), now());
    organization.add(vec![delta(3, 0, 0, 1, 5), delta(2, 0, 0, 2, 5)], now());
    let tell = |organization: &Organization, since, watermark| {
        organization.tell(view, since, now(), watermark).unwrap()
    };
    let all = tell(&organization, None, None);
    assert_eq!(all.rows.len(), 2);
    assert_eq!(tell(&organization, Some(all.until), None).rows, []);
    organization.add(vec![delta(2, 0, 0, 1, 7)], now());
    let changed = tell(&organization, Some(all.until), None);
    let keys: Vec<_> = changed.rows.iter().map(|row| row.key.clone()).collect();
    assert_eq!(keys, [Key::Id(Some(Uuid::from_u128(1)))]);
    let until = Window::M1.start(now()).saturating_add_seconds(-120);
    let completed = tell(&organization, Some(changed.until), Some(until));
    assert_eq!(completed.rows.len(), 1, "{completed:?}");
    assert_eq!(
        tell(&organization, Some(completed.until), Some(until)).rows,
        []
    );
}

#[test]
fn what_is_too_old_is_left_out_and_let_go() {
    let mut organization = Organization::new(1, now());
    // Three hours before: only windows of an hour and a day hold it.
    organization.add(vec![delta(180, 0, 0, 1, 5)], now());
    assert_eq!(organization.rows(), 2);
    organization.add(vec![delta(0, 0, 0, 1, 5)], now());
    assert_eq!(organization.rows(), 2 + 3 + 1);
    organization.advance(now().saturating_add_seconds(3 * 86_400));
    assert!(organization.is_empty());
    assert_eq!(organization.series.len(), 0);
}

#[test]
fn for_want_of_room_the_oldest_buckets_go_and_it_is_said() {
    let mut organization = Organization::new(1, now());
    let view = organization.open(query(&[]), now());
    let many: Vec<Delta> = (0..50).map(|minute| delta(minute, 0, 0, 1, 5)).collect();
    organization.add(many, now());
    let before = organization.tell(view, None, now(), None).unwrap();
    organization.shed();
    let after = organization.tell(view, None, now(), None).unwrap();
    assert_eq!(after.rows.len(), before.rows.len() - 1);
    assert_eq!((before.shed, after.shed), (0, 1));
    assert_eq!(
        after.from,
        Window::M1.start(now()).saturating_add_seconds(-60 * 48)
    );
    // What comes late for a bucket that went does not bring half of it back.
    organization.add(vec![delta(49, 0, 0, 1, 5)], now());
    assert_eq!(
        organization
            .tell(view, None, now(), None)
            .unwrap()
            .rows
            .len(),
        49
    );
}

#[test]
fn a_view_with_too_many_rows_lets_its_oldest_buckets_go() {
    let mut organization = Organization::new(1, now());
    let view = organization.open(query(&[("group_by", "user")]), now());
    for minute in 0..3 {
        let of_user = |user| delta(minute, 0, 0, user, 5);
        organization.add((1..=4000).map(of_user).collect(), now());
    }
    let told = organization.tell(view, None, now(), None).unwrap();
    assert_eq!((told.rows.len(), told.shed), (8000, 1));
}
