//! `/export/{format}`: the same rows in all four.

use platform::auth::Role;
use rand::{RngExt, seq::IndexedRandom};
use serde_json::Value;

use super::{
    raw_rows::{Wanted, alike, assert_same},
    year::Asking,
};
use crate::tests::{
    exports::{lines, same_as_csv, same_as_parquet},
    raw::get,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_exports_hold_the_rows_that_plain_sql_selects_in_every_form() {
    let mut asking = Asking::about("exports").await;
    let (world, random) = (&asking.world, &mut asking.random);
    let (mut some, mut all, mut defused) = (0, 0, 0);
    for case in 0..asking.cases {
        let roles = [Role::Developer, Role::Manager];
        let mut wanted = Wanted::random(random, &roles, 3..120);
        if random.random_bool(0.2) {
            let plain = wanted;
            wanted = match Wanted::random(random, &roles, 60..365).searching(random) {
                Some(searching) => searching,
                None => plain,
            };
        }
        let mut expected = wanted.rows(&asking.owner, "asc").await;
        let mut query = format!("kind={}&{}", wanted.list, wanted.query());
        // Some go on after a row that was received.
        if let Some(last) = expected.choose(random).filter(|_| random.random_bool(0.2)) {
            let place = |name: &str| last[name].as_f64().unwrap();
            query += &format!(
                "&cursor={},{},{},{}",
                last["timestamp"].as_str().unwrap(),
                last["event_id"].as_str().unwrap(),
                place("source_partition"),
                place("source_offset")
            );
            let received = expected.iter().position(|row| row == last).unwrap();
            expected.drain(..=received);
        }
        println!("case {case}: {query} for {:?}", wanted.caller);
        let token = wanted.caller.token(world);
        let mut rows: Vec<Value> = Vec::new();
        for format in ["ndjson", "json", "csv", "parquet"] {
            let path = format!("/api/metrics/export/{format}?{query}");
            let (status, _, body) = get(world, &token, &path, &[]).await;
            assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
            match format {
                "ndjson" => {
                    rows = lines(&body);
                    let found: Vec<Value> = rows.iter().cloned().map(alike).collect();
                    assert_same(&found, &expected);
                }
                "json" => {
                    let found: Vec<Value> = serde_json::from_slice(&body).unwrap();
                    assert_same(&found, &rows);
                }
                "csv" => defused += same_as_csv(&rows, &body),
                _ => same_as_parquet(&rows, body),
            }
        }
        some += u64::from(!expected.is_empty());
        all += expected.len();
    }
    println!("{all} rows in {some} exports, {defused} cells defused");
    assert!(some > asking.cases / 2, "most must hold something: {some}");
    assert!(defused > 0, "some texts are like formulas");
}
