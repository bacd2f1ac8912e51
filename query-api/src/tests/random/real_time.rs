//! `/real-time/{window}`: what is in memory is what the rows say that are on their way.

use platform::{auth::Role, clock, database};
use rand::{Rng, RngExt, seq::IndexedRandom};
use schemas::{EventKind, Timestamp, Watermarks, Window};
use serde_json::Value;
use uuid::Uuid;

use super::{
    events::{insert, seconds},
    expected::Expected,
    facts::facts,
    made,
    question::Question,
    year::Asking,
};
use crate::tests::{
    raw::ask,
    world::{Fact, at},
};

/// Of nobody else's questions.
const ORGANIZATION: Uuid = Uuid::from_u128(0xd);
/// How many buckets are held.
const HELD: [(Window, i64); 5] = [
    (Window::M1, 120),
    (Window::M5, 24),
    (Window::M15, 8),
    (Window::H1, 24),
    (Window::D1, 1),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_open_windows_are_what_their_raw_rows_say() {
    let mut asking = Asking::about("real time").await;
    let random = &mut asking.random;
    let now = clock::now();
    let sink = asking.world.database.pool(database::Role::Sink).await;
    store(&sink, random, now).await;
    let live = asking.world.live.world();
    live.is_whole_from(now.saturating_add_seconds(-3 * 86_400));
    let delta = |Fact { at, series, rollup }| (Window::M1.start(at), series, rollup);
    let deltas = facts(&asking.owner, ORGANIZATION).await;
    live.add(ORGANIZATION, deltas.into_iter().map(delta).collect(), now);
    let watermark = Window::M1.start(now.saturating_add_seconds(-1200));
    live.add_watermarks(
        0,
        Watermarks {
            sources: 1,
            partitions: 1,
            until: [((EventKind::CommandExecution, 0), watermark)].into(),
        },
    );

    let (mut some, mut rows) = (0, 0);
    for case in 0..asking.cases {
        let mut question = Question::random(random);
        while !question.is_plain() {
            question = Question::random(random);
        }
        let (window, held) = *HELD.choose(random).unwrap();
        let buckets = random.random_range(1..=held);
        let mut uri = format!("/api/metrics/real-time/{window}?buckets={buckets}");
        question.push_group(&mut uri);
        let token = asking.world.token(ORGANIZATION, Role::Viewer);
        let oldest = || {
            let open = window.start(clock::now());
            open.saturating_add_seconds(-(buckets - 1) * window.seconds())
        };
        let earliest = oldest();
        let (status, answer) = ask(&asking.world, &token, &uri).await;
        let latest = oldest();
        assert_eq!(status, 200, "{uri}: {answer}");
        let from = at(answer["from"].as_str().unwrap());
        println!("case {case}: {uri} from {from}");
        assert!((earliest..=latest).contains(&from), "{earliest} {latest}");
        assert_eq!(at(answer["watermark"].as_str().unwrap()), watermark);

        let asked = Question {
            organization: ORGANIZATION,
            start: from,
            // Events may be ahead of the clock.
            end: from.saturating_add_seconds((buckets + 1) * window.seconds() + 600),
            window: Some(window),
            zone: None,
            fill: false,
            compare: false,
            ..question
        };
        let expected = Expected::of(&asking.owner, &asked, watermark).await;
        expected.check(answer["data"].as_array().unwrap());
        some += u64::from(!expected.rows.is_empty());
        rows += expected.rows.len();
    }
    println!("{rows} rows in {some} answers");
    assert!(some > asking.cases / 2, "most must find something: {some}");
}

/// Events of the last day, most of them of the last minutes and some of the next.
async fn store<R: Rng>(sink: &sqlx::PgPool, random: &mut R, now: Timestamp) {
    let kinds: [fn(&mut R, Timestamp) -> Value; 4] =
        [made::command, made::agent, made::metric, made::session];
    for (table, make) in made::TABLES.into_iter().zip(kinds) {
        let rows = (0..200).map(|n| {
            let ago = seconds(random, 1, 30 * 3600) - 240;
            let at = now.saturating_add_seconds(-ago);
            let mut row = made::common(random, ORGANIZATION, at, n);
            let Value::Object(own) = make(random, at) else {
                unreachable!("each makes an object")
            };
            row.as_object_mut().unwrap().extend(own);
            row
        });
        insert(sink, table, rows.collect()).await;
    }
}
