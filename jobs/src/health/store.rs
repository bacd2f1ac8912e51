//! Alerts and their messages in the database.

use chrono::{DateTime, Utc};
use platform::lifecycle::Shutdown;
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use super::alerts::{Change, State};
use super::webhook::Webhook;

pub(super) async fn states(pool: &PgPool) -> sqlx::Result<Vec<State>> {
    sqlx::query_as("select condition, subject, firing, value, threshold from flowmeter.alerts")
        .fetch_all(pool)
        .await
}

/// Writes changes, and with each the message that tells of it, if anybody is told.
pub(super) async fn write(
    pool: &PgPool,
    changes: &[Change],
    with_messages: bool,
) -> sqlx::Result<()> {
    let mut transaction = pool.begin().await?;
    for Change { state } in changes {
        let changed_at: DateTime<Utc> = sqlx::query_scalar(
            "insert into flowmeter.alerts as a (condition, subject, firing, value, threshold) \
             values ($1, $2, $3, $4, $5) on conflict (condition, subject) do update set \
             firing = excluded.firing, value = excluded.value, \
             threshold = excluded.threshold, changed_at = now() returning changed_at",
        )
        .bind(&state.condition)
        .bind(&state.subject)
        .bind(state.firing)
        .bind(state.value)
        .bind(state.threshold)
        .fetch_one(&mut *transaction)
        .await?;
        if !with_messages {
            continue;
        }
        let body = json!({
            "type": if state.firing { "alert.firing" } else { "alert.resolved" },
            "timestamp": changed_at,
            "data": {
                "condition": state.condition, "subject": state.subject,
                "value": state.value, "threshold": state.threshold,
            },
        });
        sqlx::query("insert into flowmeter.alert_messages (body) values ($1::text::jsonb)")
            .bind(body.to_string())
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}

/// Delivers what was not, the oldest first; ends at the first that is not taken, as it would
/// be overtaken by others.
pub(super) async fn deliver(
    pool: &PgPool,
    webhook: &Webhook,
    stop: &Shutdown,
) -> anyhow::Result<()> {
    let sql = "select number, id, body::text from flowmeter.alert_messages \
         where delivered_at is null order by number";
    let messages: Vec<(i64, Uuid, String)> = sqlx::query_as(sql).fetch_all(pool).await?;
    for (number, id, body) in messages {
        if stop.is_triggered() {
            break;
        }
        webhook.deliver(id, body).await?;
        sqlx::query("update flowmeter.alert_messages set delivered_at = now() where number = $1")
            .bind(number)
            .execute(pool)
            .await?;
    }
    Ok(())
}

/// How many messages wait.
pub(super) async fn undelivered(pool: &PgPool) -> sqlx::Result<i64> {
    sqlx::query_scalar("select count(*) from flowmeter.alert_messages where delivered_at is null")
        .fetch_one(pool)
        .await
}
