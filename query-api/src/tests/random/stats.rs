//! `/stats`: counts of a year, and of dead letters.

use std::collections::BTreeMap;

use platform::{auth::Role, database};
use rand::{RngExt, seq::IndexedRandom};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use super::{
    events::{ORGANIZATIONS, TO, some_organization},
    made::TABLES,
    year::Asking,
};
use crate::{
    operations::stats::PATH,
    tests::{operations::letter, raw::ask, world::at},
};

const REASONS: [&str; 4] = ["invalid", "wrong_key", "bad_framing", "unknown_schema"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_year_is_counted_as_its_raw_rows_are() {
    let mut asking = Asking::about("stats").await;
    let random = &mut asking.random;
    let sink = asking.world.database.pool(database::Role::Sink).await;
    let mut some = 0;
    for case in 0..asking.cases.div_ceil(10) {
        for _ in 0..random.random_range(0..6) {
            let whose = ORGANIZATIONS.choose(random).copied();
            let whose = whose.filter(|_| random.random_bool(0.9));
            let minutes = random.random_range(0..60 * 24 * 60);
            let reason = REASONS.choose(random).unwrap();
            letter(&sink, whose, minutes, reason, None, random.random_bool(0.3)).await;
        }
        let organization = some_organization(random, at(TO));
        println!("case {case}: {organization}");
        let token = asking.world.token(organization, Role::Admin);
        let (status, answer) = ask(&asking.world, &token, PATH).await;
        assert_eq!(status, 200, "{answer}");

        let mut events = BTreeMap::new();
        for (table, kind) in TABLES
            .into_iter()
            .zip(["command", "agent", "metric", "session"])
        {
            let sql = format!(
                "select jsonb_build_object('kind', '{kind}', 'count', count(*), \
                    'first_day', (min(\"timestamp\") at time zone 'UTC')::date, \
                    'last_day', (max(\"timestamp\") at time zone 'UTC')::date)::text \
                 from flowmeter.{table} where organization_id = $1 having count(*) > 0"
            );
            let told: Option<String> = sqlx::query_scalar(AssertSqlSafe(sql))
                .bind(organization)
                .fetch_optional(&asking.owner)
                .await
                .unwrap();
            let told = told.map(|text| serde_json::from_str::<Value>(&text).unwrap());
            events.extend(told.map(|told| (kind, told)));
        }
        assert_eq!(answer["events"], json!(events.values().collect::<Vec<_>>()));
        let letters: String = sqlx::query_scalar(
            "select coalesce(jsonb_agg(told order by (told ->> 'count')::int desc, \
                told ->> 'reason'), '[]')::text from (\
                select jsonb_build_object('reason', reason, 'count', count(*), \
                    'replayed', count(*) filter (where replayed_at is not null)) as told \
                from flowmeter.dead_letters where organization_id = $1 \
                    and recorded_at >= now() - interval '30 days' group by reason) t",
        )
        .bind(organization)
        .fetch_one(&asking.owner)
        .await
        .unwrap();
        let letters: Value = serde_json::from_str(&letters).unwrap();
        some += u64::from(letters != json!([]) && !events.is_empty());
        assert_eq!(answer["dead_letters"], letters);
        assert_eq!(answer["changed_at"].is_string(), !events.is_empty());
    }
    assert!(some > asking.cases / 20, "most must find something: {some}");
}
