//! Rows that the database refuses for what they say.

use platform::http::health::CheckStatus;
use schemas::{
    Event, Source,
    dead_letter::{DeadLetter, Position, Reason, Replayed},
};
use sqlx::AssertSqlSafe;

use super::{
    COMMANDS, MINUTE_EVENTS,
    support::{Pipeline, commands, expected, now},
};

const LETTERS: &str = "select count(*) from flowmeter.dead_letters";

async fn execute(pipeline: &Pipeline, sql: &str) {
    let sql = AssertSqlSafe(sql.to_owned());
    sqlx::raw_sql(sql).execute(&pipeline.pool).await.unwrap();
}

fn is_poison(event: &Event) -> bool {
    let Event::CommandExecution(command) = event else {
        return false;
    };
    command.command_name == "poison" || command.command_name == "poison of rollups"
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_rows_are_dead_letters_and_all_others_are_stored() {
    let pipeline = Pipeline::new(2).await;
    execute(
        &pipeline,
        "alter table flowmeter.command_executions add constraint no_poison \
             check (command_name <> 'poison'); \
         alter table flowmeter.rollups_1h add constraint no_poison_of_rollups \
             check (name <> 'poison of rollups')",
    )
    .await;
    let mut events = commands(0..1000);
    for (n, event) in events.iter_mut().enumerate() {
        let Event::CommandExecution(command) = event else {
            continue;
        };
        match n {
            3 | 400 | 401 | 999 => command.command_name = "poison".into(),
            7 => command.command_name = "poison of rollups".into(),
            _ => {}
        }
    }
    pipeline.publish(&events).await;
    let sink = pipeline.start();
    pipeline.until(LETTERS, 5).await;
    pipeline.until(COMMANDS, 995).await;
    sink.until_health(|report| report.status == CheckStatus::Ok)
        .await;
    // Behind the poison, everything goes on.
    let more = commands(1000..1010);
    pipeline.publish(&more).await;
    pipeline.until(COMMANDS, 1005).await;
    sink.stop().await;

    let sound: Vec<Event> = events.iter().chain(&more).cloned().collect();
    let (poison, sound): (Vec<Event>, Vec<Event>) = sound.into_iter().partition(is_poison);
    assert_eq!(pipeline.stored().await, expected(&sound));
    type Letter = (String, i64, String, Vec<u8>, Vec<u8>, String);
    let letters: Vec<Letter> = sqlx::query_as(
        "select source_topic, source_offset, message, \"key\", \"value\", headers::text \
         from flowmeter.dead_letters where reason = 'refused_by_database' and stage = 'sink' \
         and organization_id is not null and event_id is not null order by source_offset",
    )
    .fetch_all(&pipeline.pool)
    .await
    .unwrap();
    let places: Vec<i64> = letters.iter().map(|letter| letter.1).collect();
    assert_eq!(places, [3, 7, 400, 401, 999], "as published");
    for (letter, event) in letters.iter().zip(&poison) {
        let (topic, _, message, key, value, headers) = letter;
        assert_eq!(*topic, pipeline.topics.events(event.kind()));
        assert!(
            message.contains("23514") && message.contains("no_poison"),
            "{message}"
        );
        assert_eq!(*key, event.key().into_bytes());
        assert_eq!(*value, pipeline.value(event), "whole");
        assert_eq!(headers, "[]", "its own");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_refuses_most_rows_gets_none_until_it_is_mended() {
    let pipeline = Pipeline::new(1).await;
    let mut config = pipeline.config();
    config.refusal_limit.window = 10;
    let refuse = "alter table flowmeter.command_executions add constraint nothing check (false)";
    execute(&pipeline, refuse).await;
    let all = commands(0..200);
    pipeline.publish(&all).await;
    let sink = pipeline.start_with(config);
    sink.until_health(|report| {
        let detail = report.detail.as_deref().unwrap_or_default();
        report.status == CheckStatus::Down && detail.contains("too large a share")
    })
    .await;
    assert_eq!(pipeline.number(COMMANDS).await, 0);
    let mend = "alter table flowmeter.command_executions drop constraint nothing";
    execute(&pipeline, mend).await;
    pipeline.until(COMMANDS, 200).await;
    sink.until_health(|report| report.status == CheckStatus::Ok)
        .await;
    sink.stop().await;
    assert_eq!(pipeline.stored().await, expected(&all));
    assert_eq!(pipeline.number(LETTERS).await, 0, "none was at fault");
}

/// Puts a letter among the dead letters; they have one partition.
async fn put(pipeline: &Pipeline, headers: &[(&'static str, String)]) -> i64 {
    let headers: Vec<_> = headers.iter().map(|(n, v)| (*n, v.as_bytes())).collect();
    let topic = pipeline.topics.dead_letters();
    let sent = pipeline.producer.enqueue(&topic, b"\0", b"\0", &headers);
    sent.unwrap().await.unwrap().1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_of_the_sink_that_comes_twice_is_one_until_it_is_replayed() {
    let pipeline = Pipeline::new(1).await;
    let letter = DeadLetter {
        source_topic: "metrics.user-sessions".into(),
        source_partition: 1,
        source_offset: 2,
        reason: Reason::RefusedByDatabase.as_str().into(),
        message: "no".into(),
        stage: "sink".into(),
        recorded_at: now(),
        event_id: None,
    };
    let headers = letter.headers();
    let marker = |letter_offset| {
        let source: Position = letter.source();
        Replayed {
            source,
            letter_offset,
        }
    };
    // In one batch, before the sink is there.
    let first = put(&pipeline, &headers).await;
    put(&pipeline, &headers).await;
    put(&pipeline, &marker(first).headers()).await;
    let second = put(&pipeline, &headers).await;
    put(&pipeline, &headers).await;
    let cursor = "select coalesce(max(next_offset), 0)::bigint from flowmeter.cursors";
    let sink = pipeline.start();
    pipeline.until(cursor, 5).await;
    assert_eq!(pipeline.number(LETTERS).await, 2);
    // In another batch than the one it repeats; then replayed, and refused once more.
    put(&pipeline, &headers).await;
    pipeline.until(cursor, 6).await;
    assert_eq!(pipeline.number(LETTERS).await, 2);
    sink.stop().await;
    put(&pipeline, &marker(second).headers()).await;
    put(&pipeline, &headers).await;
    let sink = pipeline.start();
    pipeline.until(cursor, 8).await;
    sink.stop().await;
    assert_eq!(pipeline.number(LETTERS).await, 3);
    let open = "select count(*) from flowmeter.dead_letters where replayed_at is null";
    assert_eq!(pipeline.number(open).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_letter_is_refused_whatever_it_says() {
    let pipeline = Pipeline::new(1).await;
    let nul = "\0\u{fffd}\u{10ffff}'\\\"";
    for at in ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"] {
        let letter = DeadLetter {
            source_topic: nul.into(),
            source_partition: i32::MIN,
            source_offset: i64::MAX,
            reason: nul.into(),
            message: nul.repeat(DeadLetter::MAX_MESSAGE_BYTES),
            stage: nul.into(),
            recorded_at: at.parse().unwrap(),
            event_id: None,
        };
        let mut headers = letter.headers();
        headers.push(("flowmeter.client", nul.into()));
        headers.push((Source::HEADER, nul.into()));
        headers.push(("a\\u0000\"", nul.into()));
        put(&pipeline, &headers).await;
    }
    pipeline.publish(&commands(0..3)).await;
    let sink = pipeline.start();
    pipeline.until(LETTERS, 2).await;
    pipeline.until(MINUTE_EVENTS, 3).await;
    sink.until_health(|report| report.status == CheckStatus::Ok)
        .await;
    sink.stop().await;
}
