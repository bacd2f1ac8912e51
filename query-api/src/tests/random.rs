//! Random queries over random events, each answer compared with plain SQL over the raw rows.
//!
//! `QUERY_SEED` repeats a run, whose seed is printed when it fails; `QUERY_CASES` is how many
//! queries are tried.

mod events;
mod expected;
mod question;

use axum::{body::Body, http::Request};
use platform::{auth::Role, database};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value;
use tower::ServiceExt;

use self::{expected::Expected, question::Question};
use super::world::{World, body};

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn random_queries_are_answered_as_the_raw_rows_say() {
    let seed = setting("QUERY_SEED", rand::random());
    let cases = setting("QUERY_CASES", 200);
    println!("QUERY_SEED={seed}");
    let random = &mut StdRng::seed_from_u64(seed);
    let world = World::with(&[]).await;
    let sink = world.database.pool(database::Role::Sink).await;
    events::store(&sink, random).await;
    let owner = world.database.pool(database::Role::Owner).await;
    let (mut rows, mut pages) = (0, 0);
    for case in 0..cases {
        let question = Question::random(random);
        println!("case {case}: {question:?}");
        let expected = Expected::of(&owner, &question).await;
        let found = all_pages(&world, &question, expected.rows.len(), random).await;
        pages += found.pages;
        rows += found.rows.len();
        assert_eq!(found.window, question.expected_window().as_str());
        expected.check(&found.rows);
    }
    println!("{rows} rows on {pages} pages");
    assert!(rows as u64 > cases, "most queries must find something");
}

/// What all pages of a query hold.
struct Found {
    window: String,
    rows: Vec<Value>,
    pages: usize,
}

async fn all_pages(
    world: &World,
    question: &Question,
    expected: usize,
    random: &mut impl Rng,
) -> Found {
    let (mut rows, mut pages) = (Vec::new(), 0);
    let mut cursor: Option<String> = None;
    loop {
        // A few pages, of any length and asked for in either way.
        let limit = random.random_range(1 + expected / 8..=2 + expected);
        let mut request = question.request(limit, cursor.as_deref(), random);
        let token = world.token(question.organization, Role::Viewer);
        let header = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert("authorization", header);
        let page = send(world, request).await;
        let data = page["data"].as_array().unwrap();
        rows.extend(data.iter().cloned());
        pages += 1;
        assert!(data.len() <= limit, "a page of {limit} rows");
        match page["next_cursor"].as_str() {
            Some(next) => {
                assert_eq!(data.len(), limit, "a page before the last is full");
                cursor = Some(next.to_owned());
            }
            None => {
                let window = page["window"].as_str().unwrap().to_owned();
                return Found {
                    window,
                    rows,
                    pages,
                };
            }
        }
    }
}

async fn send(world: &World, request: Request<Body>) -> Value {
    let response = world.app.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let answer = body(response).await;
    assert_eq!(status, 200, "{answer}");
    answer
}
