//! The sink on real Kafka, registry and TimescaleDB.

mod outage;
mod poison;
mod replayed;
mod rivals;
pub(crate) mod support;

use platform::http::health::CheckStatus;
use schemas::{
    Event, Source,
    dead_letter::DeadLetter,
    event::{AgentInteraction, ProductivityMetric, SessionKind, Status, UserSession},
    free_object::FreeObject,
};
use uuid::Uuid;

use self::support::{Pipeline, commands, expected, now};

const COMMANDS: &str = "select count(*) from flowmeter.command_executions";
const MINUTE_EVENTS: &str = "select coalesce(sum(event_count), 0)::bigint \
     from flowmeter.rollups_1m where scope = 'organization'";

fn one_of_each() -> Vec<Event> {
    let organization_id = Uuid::from_u128(77);
    let user_id = Uuid::from_u128(78);
    let object = |text| Some(FreeObject::unchecked(text));
    let mut events = commands(0..1);
    if let Event::CommandExecution(command) = &mut events[0] {
        command.command_args = object(r#"{"a":[1.50,"é"]}"#);
        command.error_message = Some("no".into());
    }
    events.push(Event::AgentInteraction(AgentInteraction {
        event_id: Uuid::new_v4(),
        organization_id,
        timestamp: now(),
        user_id,
        team_id: Some(Uuid::from_u128(1)),
        project_id: Some(Uuid::from_u128(2)),
        agent_name: "agent".into(),
        interaction_type: "chat".into(),
        execution_time_ms: 3_600_000,
        status: Status::Timeout,
        input_tokens: Some(1_000_000_000),
        output_tokens: None,
        cost_usd: Some("0.000000000001".parse().unwrap()),
        model: Some("m".into()),
        command_execution_id: Some(Uuid::from_u128(3)),
        error_message: None,
        metadata: object(r#"{"k":null}"#),
    }));
    events.push(Event::ProductivityMetric(ProductivityMetric {
        event_id: Uuid::new_v4(),
        organization_id,
        timestamp: now(),
        user_id: None,
        team_id: None,
        project_id: None,
        metric_type: "focus.minutes".into(),
        metric_value: -12.25,
        metric_unit: Some("min".into()),
        dimensions: object("{}"),
    }));
    let session = UserSession {
        event_id: Uuid::new_v4(),
        organization_id,
        timestamp: now(),
        user_id,
        team_id: None,
        project_id: None,
        session_id: "s".into(),
        kind: SessionKind::Ended,
        session_start: Some(now().saturating_add_seconds(-60)),
        session_end: Some(now()),
        duration_minutes: Some(1.0),
        commands_executed: Some(3),
        agents_used: Some(vec!["a \"b\"".into(), "{c,d}".into()]),
        productivity_score: None,
        context: None,
    };
    let other = UserSession {
        agents_used: None,
        kind: SessionKind::Started,
        ..session.clone()
    };
    events.extend([session, other].map(Event::UserSession));
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_record_is_stored_and_a_restart_changes_nothing() {
    let pipeline = Pipeline::new(2).await;
    let sink = pipeline.start();
    let aggregator = pipeline.aggregator();
    let events = one_of_each();
    pipeline.publish(&events[..2]).await;
    // Of no kind, or no event: none of them is lost.
    let topic = pipeline.topics.admitted();
    for (partition, minute) in [(0, 1), (1, 3), (0, 2), (0, 1)] {
        aggregator.watermark(partition, minute);
    }
    let garbage = pipeline.producer.enqueue(&topic, b"k", b"garbage", &[]);
    garbage.unwrap().await.unwrap();
    let source = [(Source::HEADER, &b"user_session/0/1/1700000000000"[..])];
    let garbage = pipeline.producer.enqueue(&topic, b"k", b"garbage", &source);
    garbage.unwrap().await.unwrap();
    aggregator.give_up(&commands(7..9));
    aggregator.forward(&events[2..]);
    let letter = DeadLetter {
        source_topic: topic.clone(),
        source_partition: 1,
        source_offset: 2,
        reason: "bad_framing".into(),
        message: "of no use".into(),
        stage: "aggregator".into(),
        recorded_at: now(),
        event_id: Some(Uuid::from_u128(79)),
    };
    let headers = letter.headers();
    let mut headers: Vec<_> = headers.iter().map(|(n, v)| (*n, v.as_bytes())).collect();
    headers.insert(0, ("own", b"\xff\0"));
    let dead_letters = pipeline.topics.dead_letters();
    let key = format!("{}:{}", Uuid::from_u128(77), Uuid::from_u128(78));
    for headers in [&headers[..], &[]] {
        let sent = pipeline
            .producer
            .enqueue(&dead_letters, key.as_bytes(), b"\xfe\0", headers);
        sent.unwrap().await.unwrap();
    }

    pipeline
        .until("select count(*) from flowmeter.dead_letters", 4)
        .await;
    pipeline
        .until("select count(*) from flowmeter.user_sessions", 2)
        .await;
    pipeline.until(MINUTE_EVENTS, 5).await;
    pipeline.until(COMMANDS, 1).await;
    for (sql, wanted) in [
        (
            "select count(*) from flowmeter.command_executions where command_args = '{\"a\": [1.50, \"é\"]}' \
             and error_message = 'no' and context is null and received_at >= \"timestamp\" - interval '1 minute'",
            1,
        ),
        (
            "select count(*) from flowmeter.agent_interactions where cost_usd = 0.000000000001 \
             and execution_time_ms = 3600000 and status = 'timeout' and output_tokens is null \
             and input_tokens = 1000000000 and metadata = '{\"k\": null}'",
            1,
        ),
        (
            "select count(*) from flowmeter.productivity_metrics where user_id is null \
             and metric_value = -12.25 and dimensions = '{}'",
            1,
        ),
        (
            "select count(*) from flowmeter.user_sessions \
             where agents_used = array['a \"b\"', '{c,d}'] and kind = 'ended' and session_end > session_start",
            1,
        ),
        (
            "select count(*) from flowmeter.user_sessions where agents_used is null and kind = 'started'",
            1,
        ),
        (
            "select count(*) from flowmeter.dead_letters where stage = 'aggregator' and source_offset = 2 \
             and organization_id = '00000000-0000-0000-0000-00000000004d' and value = '\\xfe00' \
             and headers = '[{\"name\": \"own\", \"value\": \"/wA=\"}]' \
             and event_id = '00000000-0000-0000-0000-00000000004f'",
            1,
        ),
        (
            "select count(*) from flowmeter.dead_letters where stage = 'sink' and reason = 'malformed_envelope' \
             and source_topic like '%dead-letters' and organization_id is not null",
            1,
        ),
        (
            "select count(*) from flowmeter.dead_letters where stage = 'sink' and value = 'garbage' \
             and reason in ('malformed_envelope', 'bad_framing') and source_topic like '%admitted-events'",
            2,
        ),
    ] {
        assert_eq!(pipeline.number(sql).await, wanted, "{sql}");
    }
    // The latest of each partition; both together are what two partitions and one source are.
    let watermarks = "select count(*) from flowmeter.watermarks \
         where until = to_timestamp((2 + admitted_partition) * 60) and expected_rows = 2";
    pipeline.until(watermarks, 2).await;
    let oldest = "select extract(epoch from until)::bigint from tenant.watermark";
    assert_eq!(pipeline.number(oldest).await, 120);
    assert_eq!(pipeline.stored().await, expected(&events));
    assert_eq!(
        pipeline
            .stored()
            .await
            .keys()
            .filter(|k| k.2 == "user")
            .count(),
        25,
        "five series in five windows"
    );
    let all_rows = "select sum(n)::bigint from (select count(*) n from flowmeter.command_executions \
         union all select count(*) from flowmeter.dead_letters \
         union all select count(*) from flowmeter.user_sessions) t";
    let before = pipeline.number(all_rows).await;
    sink.stop().await;

    let sink = pipeline.start();
    let more = commands(1..2);
    aggregator.forward(&more);
    pipeline.until(COMMANDS, 2).await;
    pipeline.until(MINUTE_EVENTS, 6).await;
    sink.stop().await;
    assert_eq!(pipeline.number(all_rows).await, before + 1);
    let all: Vec<Event> = events.into_iter().chain(more).collect();
    assert_eq!(pipeline.stored().await, expected(&all));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sinks_that_come_and_go_count_each_event_once() {
    let pipeline = Pipeline::new(4).await;
    let aggregator = pipeline.aggregator();
    let all = commands(0..3000);
    let first = pipeline.start();
    let mut second = None;
    for (n, events) in all.chunks(300).enumerate() {
        aggregator.forward(events);
        match n {
            3 => second = Some(pipeline.start()),
            5 => aggregator.give_up(events),
            _ => {}
        }
    }
    pipeline.until(MINUTE_EVENTS, 3000).await;
    first.stop().await;
    let more = commands(3000..3500);
    aggregator.forward(&more);
    pipeline.until(MINUTE_EVENTS, 3500).await;
    pipeline.until(COMMANDS, 3500).await;
    if let Some(second) = second {
        second.stop().await;
    }
    let all: Vec<Event> = all.into_iter().chain(more).collect();
    assert_eq!(pipeline.stored().await, expected(&all));
    let distinct = "select count(distinct event_id) from flowmeter.command_executions";
    assert_eq!(pipeline.number(distinct).await, 3500);
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_connections_lose_and_double_nothing() {
    let pipeline = Pipeline::new(2).await;
    let aggregator = pipeline.aggregator();
    let sink = pipeline.start();
    let all = commands(0..4000);
    for events in all.chunks(200) {
        aggregator.forward(events);
        pipeline
            .number(
                "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                 where datname = current_database() and application_name = 'flowmeter-sink' \
                 and state <> 'idle'",
            )
            .await;
    }
    pipeline.until(MINUTE_EVENTS, 4000).await;
    pipeline.until(COMMANDS, 4000).await;
    sink.until_health(|report| report.status == CheckStatus::Ok)
        .await;
    sink.stop().await;
    assert_eq!(pipeline.stored().await, expected(&all));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_another_instance_moved_fences() {
    let pipeline = Pipeline::new(1).await;
    let sink = pipeline.start();
    pipeline.publish(&commands(0..1)).await;
    pipeline.until(COMMANDS, 1).await;
    // As though another instance had written the next record.
    let moved = "with moved as (update flowmeter.cursors set next_offset = next_offset + 1 \
         where topic like '%admitted-events' returning 1) select count(*) from moved";
    assert_eq!(pipeline.number(moved).await, 1);
    pipeline.publish(&commands(1..3)).await;
    let last = "select count(*) from flowmeter.command_executions where source_offset = 2";
    pipeline.until(last, 1).await;
    sink.stop().await;
    assert_eq!(
        pipeline.number(COMMANDS).await,
        2,
        "the second was not ours"
    );
    let cursor = "select next_offset from flowmeter.cursors";
    assert_eq!(pipeline.number(cursor).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_records_are_told_and_not_skipped() {
    let pipeline = Pipeline::new(1).await;
    let topic = pipeline.topics.admitted();
    let group = pipeline.config().group();
    sqlx::query("insert into flowmeter.cursors values ($1, $2, 0, 1000)")
        .bind(&group)
        .bind(&topic)
        .execute(&pipeline.pool)
        .await
        .unwrap();
    pipeline.publish(&commands(0..5)).await;
    let sink = pipeline.start();
    sink.until_health(|report| report.status == CheckStatus::Down)
        .await;
    let checks = sink.health.report().await.checks;
    let reason = checks["sink"].detail.clone().unwrap();
    assert!(reason.contains("missing"), "{reason}");
    assert_eq!(pipeline.number(COMMANDS).await, 0);
    // An operator decides to go on from the beginning.
    sqlx::query("delete from flowmeter.cursors")
        .execute(&pipeline.pool)
        .await
        .unwrap();
    pipeline.until(COMMANDS, 5).await;
    sink.until_health(|report| report.status == CheckStatus::Ok)
        .await;
    sink.stop().await;
}
