//! Receipts, waiting, and where an event is; with a database that this test fills as the
//! sink would.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::future::{Either, join, select};
use platform::{auth::Role, database, test_support::TestDatabase};
use schemas::{Event, EventKind};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use super::harness::{
    Answer, Harness, ME, ORGANIZATION, OTHER, Stored, TEAM, command, id, one_of_each, with,
};

const COMMANDS: EventKind = EventKind::CommandExecution;
const DEVELOPER: (Uuid, Uuid, Role) = (ORGANIZATION, ME, Role::Developer);

struct World {
    harness: Harness,
    pool: PgPool,
    _database: TestDatabase,
}

impl World {
    async fn start(settings: &[(&str, &str)]) -> Self {
        let database = TestDatabase::create().await;
        let url = database.url_text().to_owned();
        let mut all = vec![("DATABASE_URL", url.as_str())];
        all.extend(settings);
        Self {
            harness: Harness::start_with(&all).await,
            pool: database.pool(database::Role::Owner).await,
            _database: database,
        }
    }

    /// Waits for records on the topic, as the sink does.
    async fn records(&self, count: usize) -> Vec<Stored> {
        let began = Instant::now();
        loop {
            let records = self.harness.stored(COMMANDS).await;
            if records.len() >= count {
                return records;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{count} records");
        }
    }

    async fn store(&self, record: &Stored) {
        self.store_at(record, record.place, None).await;
    }

    async fn store_at(&self, record: &Stored, place: (i32, i64), at: Option<DateTime<Utc>>) {
        let Event::CommandExecution(event) = &record.event else {
            panic!("another kind");
        };
        sqlx::query(
            "insert into flowmeter.command_executions (event_id, organization_id, user_id, team_id, \
             \"timestamp\", command_name, execution_time_ms, status, received_at, source_partition, source_offset) \
             values ($1, $2, $3, $4, $5, 'build', 1, 'success', now(), $6, $7)",
        )
        .bind(event.event_id)
        .bind(event.organization_id)
        .bind(event.user_id)
        .bind(event.team_id)
        .bind(at.unwrap_or_else(|| event.timestamp.into()))
        .bind(place.0)
        .bind(place.1)
        .execute(&self.pool)
        .await
        .unwrap();
    }

    async fn refuse(&self, record: &Stored, event_id: Option<Uuid>) {
        sqlx::query(
            "insert into flowmeter.dead_letters (recorded_at, organization_id, source_topic, source_partition, \
             source_offset, stage, reason, message, \"key\", dead_letter_partition, dead_letter_offset, event_id) \
             values (now(), $1, $2, $3, $4, 'aggregator', 'invalid', 'it is bad', $5, 0, 0, $6)",
        )
        .bind(record.event.common().organization_id)
        .bind(self.harness.topics.name("metrics.command-executions"))
        .bind(record.place.0)
        .bind(record.place.1)
        .bind(record.key.as_bytes())
        .bind(event_id)
        .execute(&self.pool)
        .await
        .unwrap();
    }

    /// A developer's post that prefers to wait long.
    async fn post_waiting(&self, call: &str, body: &Value) -> Answer {
        let prefer = [("prefer", "wait=25")];
        self.harness
            .post_as(Role::Developer, call, &prefer, body)
            .await
    }
}

fn place(body: &Value) -> (i32, i64) {
    let number = |name| body[name].as_i64().unwrap();
    (
        i32::try_from(number("partition")).unwrap(),
        number("offset"),
    )
}

fn states(answer: &Answer) -> Vec<&str> {
    let events = answer.body["events"].as_array().unwrap();
    events
        .iter()
        .map(|event| event["status"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn an_accepted_event_has_a_receipt() {
    let harness = Harness::start().await;
    let answer = harness.post("commands", &command(json!({}))).await;
    assert_eq!(answer.status, 202);
    let record = &harness.stored(COMMANDS).await[0];
    assert_eq!(place(&answer.body), record.place);
    let topic = harness.topics.name("metrics.command-executions");
    assert_eq!(answer.body["topic"], topic);

    let mut batch = one_of_each();
    batch["user_sessions"] = json!([{}]);
    let answer = harness.post("batch", &batch).await;
    assert_eq!(answer.status, 207);
    let results = answer.body["results"].as_array().unwrap();
    let records = harness.stored(COMMANDS).await;
    assert_eq!(place(&results[0]), records[1].place);
    assert!(
        results[..3]
            .iter()
            .all(|result| result["offset"].is_number())
    );
    assert!(results[3]["offset"].is_null());

    // Nobody to wait for, and it is said that nobody was waited for.
    let began = Instant::now();
    let prefer = [("prefer", "wait=20")];
    let answer = harness
        .post_as(Role::Developer, "commands", &prefer, &command(json!({})))
        .await;
    assert_eq!(
        (answer.status, answer.headers.get("preference-applied")),
        (202, None)
    );
    assert!(began.elapsed() < Duration::from_secs(10));
    let event = id(&answer.body["event_id"]);
    let told = harness.event(DEVELOPER, event).await;
    assert_eq!((told.status, states(&told)), (200, vec!["accepted"]));
    let told = harness.event(DEVELOPER, Uuid::new_v4()).await;
    assert_eq!(told.code(), (503, "storage_unknown"));
}

#[tokio::test]
async fn a_request_may_wait_until_its_event_is_stored() {
    let world = World::start(&[]).await;
    let sinking = async {
        let record = &world.records(1).await[0];
        world.store(record).await;
        record.place
    };
    let event = command(json!({}));
    let (answer, stored) = tokio::join!(world.post_waiting("commands", &event), sinking);
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (200, &json!("stored"))
    );
    assert_eq!(answer.headers["preference-applied"], "wait=25");
    assert_eq!(place(&answer.body), stored);

    let told = world
        .harness
        .event(DEVELOPER, id(&answer.body["event_id"]))
        .await;
    assert_eq!((told.status, states(&told)), (200, vec!["stored"]));
    assert_eq!(told.body["storage_checked"], true);
    let state = &told.body["events"][0];
    assert_eq!(
        (&state["kind"], place(state)),
        (&json!("command_execution"), stored)
    );
    assert!(state["timestamp"].is_string() && state["received_at"].is_string());
}

#[tokio::test]
async fn a_wait_that_runs_out_leaves_the_receipt() {
    let world = World::start(&[("WAIT_STORED_MS", "50")]).await;
    let answer = world
        .harness
        .post("commands?wait=stored", &command(json!({})))
        .await;
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (202, &json!("accepted"))
    );
    assert!(answer.headers.get("preference-applied").is_none());
    let told = world
        .harness
        .event(DEVELOPER, id(&answer.body["event_id"]))
        .await;
    assert_eq!((told.status, states(&told)), (200, vec!["accepted"]));
    for (call, prefer) in [("commands?wait=5", "wait=1"), ("batch", "wait=soon")] {
        let headers = [("prefer", prefer)];
        let body = command(json!({}));
        let answer = world
            .harness
            .post_as(Role::Developer, call, &headers, &body)
            .await;
        assert_eq!(answer.code(), (400, "invalid_wait"));
    }
}

#[tokio::test]
async fn an_event_that_admission_refused_is_told_to_who_waits() {
    let world = World::start(&[]).await;
    let sinking = async {
        let record = &world.records(1).await[0];
        world.refuse(record, None).await;
    };
    let event = command(json!({}));
    let (answer, ()) = tokio::join!(world.post_waiting("commands", &event), sinking);
    assert_eq!(answer.code(), (422, "dead_lettered"));
    assert_eq!(
        (&answer.body["reason"], &answer.body["message"]),
        (&json!("invalid"), &json!("it is bad"))
    );
    assert!(answer.body["offset"].is_number());
    let told = world
        .harness
        .event(DEVELOPER, id(&answer.body["event_id"]))
        .await;
    assert_eq!(states(&told), ["dead_lettered"]);
    assert_eq!(told.body["events"][0]["reason"], "invalid");
}

#[tokio::test]
async fn a_copy_is_answered_with_the_record_that_counts() {
    let world = World::start(&[]).await;
    let sinking = async {
        let record = &world.records(1).await[0];
        // Under the time of the first post, in another chunk.
        let before = Utc::now() - chrono::TimeDelta::days(3);
        world
            .store_at(record, (record.place.0, 1_000_000), Some(before))
            .await;
    };
    let event = command(json!({"event_id": Uuid::new_v4()}));
    let (answer, ()) = tokio::join!(world.post_waiting("commands", &event), sinking);
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (200, &json!("stored"))
    );
    assert_eq!(answer.body["duplicate_of"]["offset"], 1_000_000);
}

#[tokio::test]
async fn a_batch_says_of_each_event_what_became_of_it() {
    let world = World::start(&[]).await;
    let good = [command(json!({})), command(json!({"team_id": TEAM}))];
    let batch = json!({"command_executions": good});
    let sinking = async {
        for record in &world.records(2).await {
            world.store(record).await;
        }
    };
    let (answer, ()) = tokio::join!(world.post_waiting("batch", &batch), sinking);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.results(), [("stored", ""); 2]);
    assert_eq!(
        (&answer.body["accepted"], &answer.body["stored"]),
        (&json!(2), &json!(2))
    );

    let [first, second] = good;
    let batch = json!({"command_executions": [first, {}, second]});
    let sinking = async {
        let records = world.records(4).await;
        let of_second = |record: &&Stored| record.event.common().team_id.is_some();
        let new = || records.iter().filter(|record| record.place.1 > 1);
        world.refuse(new().find(of_second).unwrap(), None).await;
        world
            .store(new().find(|record| !of_second(record)).unwrap())
            .await;
    };
    let (answer, ()) = tokio::join!(world.post_waiting("batch", &batch), sinking);
    assert_eq!(answer.status, 207);
    let expected = [
        ("stored", ""),
        ("rejected", "invalid_event"),
        ("dead_lettered", "dead_lettered"),
    ];
    assert_eq!(answer.results(), expected);
    assert_eq!(answer.body["results"][2]["reason"], "invalid");
    assert_eq!(answer.body["dead_lettered"], 1);
}

#[tokio::test]
async fn without_its_database_the_gateway_accepts_all_the_same() {
    let away = [
        ("DATABASE_URL", "postgres://u:p@127.0.0.1:1/d"),
        ("WAIT_STORED_MS", "50"),
    ];
    let harness = Harness::start_with(&away).await;
    let answer = harness
        .post("commands?wait=stored", &command(json!({})))
        .await;
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (202, &json!("accepted"))
    );
    let told = harness.event(DEVELOPER, id(&answer.body["event_id"])).await;
    assert_eq!((told.status, states(&told)), (200, vec!["accepted"]));
    assert_eq!(told.body["storage_checked"], false);
    let told = harness.event(DEVELOPER, Uuid::new_v4()).await;
    assert_eq!(told.code(), (503, "storage_unknown"));
    assert_eq!(told.headers["retry-after"], "5");
}

#[tokio::test]
async fn an_event_is_told_to_who_may_see_it() {
    let world = World::start(&[]).await;
    let harness = &world.harness;
    let event = with(command(json!({"user_id": OTHER})), json!({"team_id": TEAM}));
    let answer = harness.post_as(Role::Admin, "commands", &[], &event).await;
    let event = id(&answer.body["event_id"]);
    let elsewhere = Uuid::from_u128(0xB);
    let readers = [
        ((ORGANIZATION, ME, Role::Viewer), 404),
        ((ORGANIZATION, ME, Role::Developer), 404),
        ((ORGANIZATION, OTHER, Role::Viewer), 200),
        ((ORGANIZATION, ME, Role::Manager), 200),
        ((ORGANIZATION, ME, Role::Admin), 200),
        ((elsewhere, OTHER, Role::Admin), 404),
    ];
    let see = async |status: &str| {
        for (reader, expected) in readers {
            let told = harness.event(reader, event).await;
            assert_eq!(told.status, expected, "{reader:?} {}", told.body);
            match expected {
                200 => assert_eq!(states(&told), [status]),
                _ => assert_eq!(told.code(), (404, "event_unknown")),
            }
        }
    };
    // The database is connected to behind: until then, unknown is 503.
    while harness.event(DEVELOPER, Uuid::new_v4()).await.status != 404 {}
    see("accepted").await;
    let record = &world.records(1).await[0];
    world.store(record).await;
    see("stored").await;

    let told = harness.event(DEVELOPER, "4711").await;
    assert_eq!(told.code(), (400, "invalid_path"));
}

#[tokio::test]
async fn a_dead_letter_is_found_by_its_event_also_without_a_receipt() {
    let world = World::start(&[]).await;
    let answer = world.harness.post("commands", &command(json!({}))).await;
    let record = &world.records(1).await[0];
    // As if another instance had accepted it.
    let elsewhere = Uuid::new_v4();
    world.refuse(record, Some(elsewhere)).await;
    while world.harness.event(DEVELOPER, Uuid::new_v4()).await.status != 404 {}
    let told = world.harness.event(DEVELOPER, elsewhere).await;
    assert_eq!((told.status, states(&told)), (200, vec!["dead_lettered"]));
    assert_eq!(place(&told.body["events"][0]), place(&answer.body));
    let stranger = (ORGANIZATION, OTHER, Role::Manager);
    assert_eq!(world.harness.event(stranger, elsewhere).await.status, 404);
}

#[tokio::test]
async fn those_who_wait_leave_room_for_others() {
    let world = World::start(&[("MAX_REQUESTS_IN_FLIGHT", "2")]).await;
    let event = command(json!({}));
    let posts = [(); 2].map(|()| world.post_waiting("commands", &event));
    let [one, two] = posts.map(Box::pin);
    // One of the two may wait.
    let (at_once, waiting) = match select(one, two).await {
        Either::Left((answer, other)) | Either::Right((answer, other)) => (answer, other),
    };
    assert_eq!(
        (at_once.status, &at_once.body["status"]),
        (202, &json!("accepted"))
    );
    assert!(!at_once.headers.contains_key("preference-applied"));
    let other = world.harness.post("commands", &event).await;
    assert_eq!(other.status, 202);
    let (answer, ()) = join(waiting, async {
        for record in world.records(3).await {
            world.store(&record).await;
        }
    })
    .await;
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (200, &json!("stored"))
    );
}
