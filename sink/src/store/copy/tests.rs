use platform::{database::Role, test_support::TestDatabase};
use schemas::{Timestamp, Usd};
use uuid::Uuid;

use super::*;

/// One value of every type.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
struct Row {
    id: Uuid,
    at: chrono::DateTime<chrono::Utc>,
    small: i32,
    large: i64,
    real: f64,
    text: Option<String>,
    json: Option<String>,
    list: Option<Vec<String>>,
    cost: Option<String>,
}

fn row(n: i64, at: &str, list: Option<&[&str]>, cost: Option<i128>) -> Row {
    let at: Timestamp = at.parse().unwrap();
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    Row {
        id: Uuid::from_u128(u128::from(n.unsigned_abs()) << 70),
        at: at.into(),
        small: i32::try_from(n % 1_000).unwrap(),
        large: n,
        real: n as f64 / 8.0,
        text: list.map(|list| list.concat()),
        json: list.map(|list| format!("{{\"n\": {}}}", list.len())),
        list: list.map(texts),
        cost: cost.map(|units| Usd::from_units(units).to_string()),
    }
}

fn rows() -> Vec<Row> {
    let most = 10_i128.pow(38) - 1;
    let mut rows = vec![
        row(0, "0001-01-01T00:00:00Z", None, None),
        row(i64::MAX, "9999-12-31T23:59:59.999999Z", Some(&[]), Some(0)),
        row(
            i64::MIN,
            "1999-12-31T23:59:59.999999Z",
            Some(&["", "ü{\"\\,"]),
            Some(most),
        ),
        row(-1, "2000-01-01T00:00:00Z", Some(&["NULL"]), Some(-most)),
    ];
    // Every number of digits, with zeros within and at the end.
    for power in 0..38 {
        for units in [
            10_i128.pow(power),
            7 * 10_i128.pow(power) + 1,
            1 - 10_i128.pow(power),
        ] {
            let long = "x".repeat(10_000);
            let list = [long.as_str()];
            rows.push(row(
                units as i64,
                "2026-03-14T23:30:00Z",
                Some(&list),
                Some(units),
            ));
        }
    }
    rows
}

#[tokio::test]
async fn the_database_reads_what_was_meant() {
    let database = TestDatabase::create().await;
    let pool = database.pool(Role::Owner).await;
    let rows = rows();
    let mut copied = CopyRows::default();
    for row in &rows {
        let cost = row
            .cost
            .as_deref()
            .map(|text| Numeric(text.parse().unwrap()));
        copied
            .add(9)
            .put(row.id)
            .put(Timestamp::try_from(row.at).unwrap())
            .put(row.small)
            .put(row.large)
            .put(row.real)
            .put_some(row.text.as_deref())
            .put_some(row.json.as_deref().map(Json))
            .put_some(row.list.as_deref())
            .put_some(cost);
    }
    assert_eq!(copied.len(), rows.len());
    assert!(copied.full.len() > 2, "several pieces");

    let mut transaction = pool.begin().await.unwrap();
    let table = "create temporary table copied (id uuid, at timestamptz, small integer, \
        large bigint, real double precision, \"text\" text, json jsonb, list text[], \
        cost numeric(38, 12), n bigint generated always as identity)";
    sqlx::raw_sql(table)
        .execute(&mut *transaction)
        .await
        .unwrap();
    let statement = "copy copied (id, at, small, large, real, \"text\", json, list, cost) \
        from stdin (format binary)";
    copied.send(&mut transaction, statement).await.unwrap();
    let sql = "select id, at, small, large, real, \"text\", json::text, list, \
        trim_scale(cost)::text as cost from copied order by n";
    let found: Vec<Row> = sqlx::query_as(sql)
        .fetch_all(&mut *transaction)
        .await
        .unwrap();
    assert_eq!(found, rows);
}

#[tokio::test]
async fn a_connection_is_of_use_after_rows_that_were_refused() {
    let database = TestDatabase::create().await;
    let pool = database.pool(Role::Owner).await;
    let mut connection = pool.acquire().await.unwrap();
    let table = "create temporary table copied (small integer check (small <> 7))";
    sqlx::raw_sql(table)
        .execute(&mut *connection)
        .await
        .unwrap();
    // The first is refused while most are on their way.
    let mut copied = CopyRows::default();
    (7..400_000).for_each(|n: i32| {
        copied.add(1).put(n);
    });
    let statement = "copy copied from stdin (format binary)";
    let error = copied.send(&mut connection, statement).await.unwrap_err();
    let code = error.as_database_error().and_then(|error| error.code());
    assert_eq!(code.as_deref(), Some("23514"));
    let mut copied = CopyRows::default();
    copied.add(1).put(8);
    copied.send(&mut connection, statement).await.unwrap();
    let count: i64 = sqlx::query_scalar("select count(*) from copied")
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    assert_eq!(count, 1);
}
