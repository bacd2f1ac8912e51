//! Records that do not count are kept, whole, with where they were and why.

use platform::auth::Role;
use sqlx::Row;
use uuid::Uuid;

use crate::client::Client;
use crate::foreign_producers::{Avro, Foreign};
use crate::pipeline::{Pipeline, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_records_are_dead_letters_and_hold_up_nothing() {
    let mut pipeline = Pipeline::start().await;
    let foreign = Foreign::new(&pipeline).await;
    let (organization, user) = (Uuid::new_v4(), Uuid::new_v4());
    let key = format!("{organization}:{user}");
    let bad = [
        (Some(key.as_str()), b"garbage".to_vec(), "bad_framing"),
        (None, vec![], "bad_framing"),
        (
            Some(&key),
            Avro::default().text("x").framed(2_000_000_000),
            "unknown_schema",
        ),
        (
            Some(&key),
            Avro::default().text("x").framed(foreign.schema_id),
            "undecodable",
        ),
        (
            Some(&key),
            foreign.command(organization, user, -5),
            "invalid",
        ),
        (
            Some("somebody:else"),
            foreign.command(organization, user, 5),
            "wrong_key",
        ),
    ];
    let mut sent = Vec::new();
    for (key, value, reason) in &bad {
        let (partition, offset) = foreign.send(*key, value).await;
        sent.push((partition, offset, *key, value, *reason));
    }
    let good = foreign.command(organization, user, 7);
    foreign.send(Some(&key), &good).await;

    for (partition, offset, key, value, reason) in sent {
        let row = eventually("the refused record is a dead letter", || async {
            sqlx::query(
                "select source_topic, stage, reason, message, key, value, headers::text as headers, organization_id \
                 from flowmeter.dead_letters where source_partition = $1 and source_offset = $2",
            )
            .bind(partition)
            .bind(offset)
            .fetch_optional(&pipeline.pool)
            .await
            .unwrap()
        })
        .await;
        assert_eq!(row.get::<String, _>("source_topic"), foreign.topic);
        assert_eq!(row.get::<String, _>("stage"), "aggregator");
        assert_eq!(row.get::<String, _>("reason"), reason);
        assert_eq!(
            row.get::<Option<Vec<u8>>, _>("key").as_deref(),
            key.map(str::as_bytes)
        );
        assert_eq!(row.get::<Option<Vec<u8>>, _>("value").as_ref(), Some(value));
        let headers = row.get::<String, _>("headers");
        assert!(
            headers.contains("theirs") && !headers.contains("source-offset"),
            "{headers}"
        );
        if reason == "invalid" {
            assert!(
                row.get::<String, _>("message")
                    .contains("/execution_time_ms")
            );
            assert_eq!(
                row.get::<Option<Uuid>, _>("organization_id"),
                Some(organization)
            );
        }
    }
    // The good one after them counted, and they did not.
    let client = Client::of(&pipeline, organization, Role::Viewer);
    let row = eventually("the good record is counted", || async {
        client
            .aggregated("group_by=none&aggregation_window=1d")
            .await
            .into_iter()
            .next()
    })
    .await;
    assert_eq!(row["commands"]["count"], 1);
    assert_eq!(
        pipeline
            .number("select count(*) from flowmeter.dead_letters")
            .await,
        bad.len() as i64
    );
    assert_eq!(
        pipeline
            .number("select count(*) from flowmeter.command_executions")
            .await,
        1
    );
    pipeline.stop().await;
}
