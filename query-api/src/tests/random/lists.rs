//! `/commands`, `/agents`, `/productivity` and `/sessions`, page by page, with searches and
//! without.

use platform::auth::Role;
use rand::{Rng, RngExt, rngs::StdRng};
use serde_json::Value;

use super::{
    raw_rows::{Wanted, alike, assert_same},
    year::Asking,
};
use crate::tests::{raw::ask, world::World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_lists_hold_the_rows_that_plain_sql_selects() {
    let asking = Asking::about("lists").await;
    compare(asking, |random| Wanted::random(random, &Role::ALL, 3..365)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_searches_find_the_rows_that_plain_sql_matches() {
    let asking = Asking::about("searches").await;
    let wanted = |random: &mut StdRng| {
        loop {
            let wanted = Wanted::random(random, &Role::ALL, 180..365);
            if let Some(wanted) = wanted.searching(random) {
                return wanted;
            }
        }
    };
    compare(asking, wanted).await;
}

async fn compare(mut asking: Asking, wanted: impl Fn(&mut StdRng) -> Wanted) {
    let (mut some, mut rows) = (0, 0);
    for case in 0..asking.cases {
        let random = &mut asking.random;
        let wanted = wanted(random);
        println!("case {case}: {wanted:?}");
        let expected = wanted.rows(&asking.owner, "desc").await;
        let found = pages(&asking.world, &wanted, expected.len(), random).await;
        assert_same(&found, &expected);
        some += u64::from(!expected.is_empty());
        rows += expected.len();
    }
    println!("{rows} rows in {some} lists");
    assert!(some > asking.cases / 2, "most must find something: {some}");
}

/// All rows, by pages of any length.
async fn pages(
    world: &World,
    wanted: &Wanted,
    expected: usize,
    random: &mut impl Rng,
) -> Vec<Value> {
    let token = wanted.caller.token(world);
    let path = format!("/api/metrics/{}?{}", wanted.list, wanted.query());
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let limit = random
            .random_range(1 + expected / 6..=2 + expected)
            .min(1000);
        let (status, page) = ask(world, &token, &format!("{path}&limit={limit}{cursor}")).await;
        assert_eq!(status, 200, "{page}");
        let data = page["data"].as_array().unwrap();
        assert!(data.len() <= limit, "a page of {limit} rows");
        rows.extend(data.iter().cloned().map(alike));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}
