//! What must hold after every fault, and some of it at any time.

use std::collections::{HashMap, HashSet};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use platform::kafka::dead_letters::LARGEST_WHOLE;
use serde_json::Value;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use super::ledger::{Books, EventKey, Header, Outcome, Poison};

/// Set up before anything runs: the sink's cursors are watched.
pub(crate) async fn watch_cursors(pool: &PgPool) {
    // As the owner: the sink's role need not know.
    let sql = "
        create table public.cursor_moves (
            at timestamptz not null default clock_timestamp(),
            topic text not null, partition integer not null,
            old_offset bigint, new_offset bigint
        );
        create function public.note_cursor_move() returns trigger
            language plpgsql security definer as $$
        begin
            insert into public.cursor_moves (topic, partition, old_offset, new_offset)
            values (coalesce(new.topic, old.topic), coalesce(new.partition, old.partition),
                    old.next_offset, new.next_offset);
            return null;
        end $$;
        -- As every function with its owner's rights, lest the query API refuse to start.
        revoke execute on function public.note_cursor_move() from public;
        create trigger note_cursor_move after insert or update or delete on flowmeter.cursors
            for each row execute function public.note_cursor_move();";
    sqlx::raw_sql(sql).execute(pool).await.unwrap();
}

/// I5: no cursor went back or away.
pub(crate) async fn cursors_never_went_back(pool: &PgPool) {
    let sql = "select topic, partition, old_offset, new_offset, at::text from public.cursor_moves \
         where old_offset is not null and (new_offset is null or new_offset < old_offset) \
         order by at limit 5";
    let rows: Vec<(String, i32, i64, Option<i64>, String)> =
        sqlx::query_as(sql).fetch_all(pool).await.unwrap();
    assert!(rows.is_empty(), "I5: cursors went back: {rows:?}");
}

/// The longest time, in seconds, in which nothing was stored although there was load: from
/// `since` on, until `until`.
pub(crate) async fn longest_pause(
    pool: &PgPool,
    since: chrono::DateTime<chrono::Utc>,
    until: chrono::DateTime<chrono::Utc>,
) -> f64 {
    let sql = "with points as (
            select at from public.cursor_moves
            where at between $1 and $2 and topic like '%admitted-events'
            union all select $1 union all select $2)
        select max(extract(epoch from gap))::float8 from (
            select at - lag(at) over (order by at) as gap from points) gaps";
    let pause: Option<f64> = sqlx::query_scalar(sql)
        .bind(since)
        .bind(until)
        .fetch_one(pool)
        .await
        .unwrap();
    pause.unwrap_or_default()
}

/// Whether an event is stored; `None` while the database is away, too.
pub(crate) async fn is_stored(pool: &PgPool, organization: Uuid, id: Uuid) -> Option<()> {
    let sql = "select exists (select from flowmeter.command_executions where event_id = $1 and organization_id = $2)
            or exists (select from flowmeter.agent_interactions where event_id = $1 and organization_id = $2)
            or exists (select from flowmeter.productivity_metrics where event_id = $1 and organization_id = $2)
            or exists (select from flowmeter.user_sessions where event_id = $1 and organization_id = $2)";
    let found = sqlx::query_scalar(sql).bind(id).bind(organization);
    let found: bool = found.fetch_one(pool).await.ok()?;
    found.then_some(())
}

/// What sinks have left open in the database, and for how many seconds nothing was done in
/// it: whoever takes over waits for the locks of such a transaction.
pub(crate) async fn open_transactions(pool: &PgPool) -> Vec<(String, f64)> {
    let sql = "select state, extract(epoch from clock_timestamp() - state_change)::float8 \
         from pg_stat_activity where datname = current_database() \
         and application_name = 'flowmeter-sink' and xact_start is not null";
    sqlx::query_as(sql).fetch_all(pool).await.unwrap()
}

/// How often each event is stored.
pub(crate) async fn stored(pool: &PgPool) -> HashMap<EventKey, i64> {
    let sql = "select organization_id, event_id, count(*) from (
            select organization_id, event_id from flowmeter.command_executions
            union all select organization_id, event_id from flowmeter.agent_interactions
            union all select organization_id, event_id from flowmeter.productivity_metrics
            union all select organization_id, event_id from flowmeter.user_sessions) e
        group by 1, 2";
    let rows: Vec<(Uuid, Uuid, i64)> = sqlx::query_as(sql).fetch_all(pool).await.unwrap();
    let keyed = |(organization, id, count)| ((organization, id), count);
    rows.into_iter().map(keyed).collect()
}

/// I1, I2 and I4: what was accepted is stored, once, under its organization, and so is
/// nothing that was not.
pub(crate) fn accepted_is_stored_once(books: &Books, stored: &HashMap<EventKey, i64>) {
    let some = |keys: Vec<&EventKey>| {
        (
            keys.len(),
            keys.into_iter().take(5).copied().collect::<Vec<_>>(),
        )
    };
    let twice = stored.iter().filter(|(_, count)| **count > 1);
    let (count, first) = some(twice.map(|(key, _)| key).collect());
    assert!(
        count == 0,
        "I2: {count} events are stored more than once: {first:?}"
    );
    let known = |key: &EventKey| books.events.get(key).map(|sent| sent.outcome);
    let foreign = stored.keys().filter(|key| known(key).is_none());
    let (count, first) = some(foreign.collect());
    assert!(
        count == 0,
        "I2, I4: {count} events are stored that nobody sent so: {first:?}"
    );
    let refused = stored
        .keys()
        .filter(|key| known(key) == Some(Outcome::Refused));
    let (count, first) = some(refused.collect());
    assert!(
        count == 0,
        "I2: {count} events are stored that were refused: {first:?}"
    );
    let accepted = books
        .events
        .iter()
        .filter(|(_, sent)| sent.outcome == Outcome::Accepted);
    let missing = accepted.filter(|(key, _)| !stored.contains_key(*key));
    let (count, first) = some(missing.map(|(key, _)| key).collect());
    assert!(
        count == 0,
        "I1: {count} events were accepted and are not stored: {first:?}"
    );
}

/// I1 and I7: every record that does not count is one dead letter, as it was, and there are
/// no others. Gives how many there are.
pub(crate) async fn dead_letters_are_exact(pool: &PgPool, books: &Books) -> usize {
    let sql = "select source_topic, source_partition, source_offset, stage, reason, message, \
         organization_id, event_id, \"key\", \"value\", headers::text as headers \
         from flowmeter.dead_letters order by source_topic, source_partition, source_offset";
    let rows = sqlx::query(sql).fetch_all(pool).await.unwrap();
    let mut sources = HashSet::new();
    let mut found: HashMap<Uuid, usize> = HashMap::new();
    let mut conflicts: HashMap<EventKey, (u32, String)> = HashMap::new();
    for row in &rows {
        let topic: String = row.get("source_topic");
        let place: (i32, i64) = (row.get("source_partition"), row.get("source_offset"));
        let source = format!("{topic}/{}@{}", place.0, place.1);
        assert!(
            sources.insert(source.clone()),
            "I7: {source} is a dead letter twice"
        );
        let reason: &str = row.get("reason");
        if reason == "conflicting_duplicate" {
            let ids = (row.get("organization_id"), row.get("event_id"));
            let (Some(organization), Some(id)) = ids else {
                panic!("I7: the conflict {source} does not tell its event");
            };
            let (times, last) = conflicts.entry((organization, id)).or_default();
            *times += 1;
            *last = source;
            continue;
        }
        let headers = headers_of(row.get("headers"));
        let id = headers.iter().find(|(name, _)| name == Poison::ID);
        let id = id.and_then(|(_, value)| std::str::from_utf8(value.as_deref()?).ok());
        let id: Option<Uuid> = id.and_then(|id| id.parse().ok());
        let Some((id, sent)) = id.and_then(|id| Some((id, books.poison.get(&id)?))) else {
            panic!("I1: {source} is a dead letter ({reason}) that nobody sent as poison");
        };
        *found.entry(id).or_default() += 1;
        assert_eq!(topic, sent.topic, "I7: {source}");
        if let Some(told) = sent.place {
            assert_eq!(place, told, "I7: the source of {source}");
        }
        assert_eq!(reason, sent.reason, "I7: {source}");
        assert_eq!(row.get::<&str, _>("stage"), "aggregator", "I7: {source}");
        let value: Option<&[u8]> = row.get("value");
        if sent.value.as_ref().is_some_and(|v| v.len() > LARGEST_WHOLE) {
            let whole = sent.value.as_deref().unwrap_or_default();
            let kept = value.is_some_and(|v| !v.is_empty() && whole.starts_with(v));
            let told = row.get::<&str, _>("message").contains("is cut here");
            assert!(kept && told, "I7: {source} is cut wrongly");
            continue;
        }
        assert_eq!(
            row.get::<Option<&[u8]>, _>("key"),
            sent.key.as_deref(),
            "I7: the key of {source}"
        );
        assert!(
            value == sent.value.as_deref(),
            "I7: the value of {source} is another"
        );
        assert_eq!(headers, sent.headers, "I7: the headers of {source}");
    }
    for (id, sent) in &books.poison {
        let times = found.get(id).copied().unwrap_or(0);
        let source = (&sent.topic, sent.place, sent.reason);
        assert!(times <= 1, "I7: {source:?} is a dead letter {times} times");
        let lost = times == 0 && sent.place.is_some();
        assert!(!lost, "I1: {source:?} is no dead letter");
    }
    for (key, sent) in &books.events {
        let (times, source) = conflicts.remove(key).unwrap_or_default();
        // An event is compared with the last one of its id, so that a late copy of the first
        // contradicts what contradicted it.
        let late = if sent.conflicts_sent > 0 {
            sent.unanswered
        } else {
            0
        };
        let expected = sent.conflicts_accepted..=sent.conflicts_sent + late;
        if times > sent.conflicts_sent {
            println!("note: late copies of {key:?} became {times} dead letters: {sent:?}");
        }
        assert!(
            expected.contains(&times),
            "I1: of {key:?}, {expected:?} conflicting events were sent, and {times} are dead letters, the last of {source}"
        );
    }
    assert!(
        conflicts.is_empty(),
        "I1: conflicts of events nobody sent: {conflicts:?}"
    );
    rows.len()
}

fn headers_of(json: &str) -> Vec<Header> {
    let all: Vec<Value> = serde_json::from_str(json).unwrap();
    let header = |header: &Value| {
        let value = header["value"].as_str();
        let value = value.map(|text| BASE64_STANDARD.decode(text).unwrap());
        (header["name"].as_str().unwrap().to_owned(), value)
    };
    all.iter().map(header).collect()
}
