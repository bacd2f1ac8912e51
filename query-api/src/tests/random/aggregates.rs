//! `/aggregated` and `/query`, asked in either way.

use axum::{body::Body, http::Request};
use platform::auth::Role;
use rand::{Rng, RngExt};
use serde_json::Value;
use tower::ServiceExt;

use super::{expected::Expected, question::Question, year::Asking};
use crate::tests::world::{World, body};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_queries_are_answered_as_the_raw_rows_say() {
    let mut asking = Asking::about("aggregates").await;
    let (world, random) = (&asking.world, &mut asking.random);
    let (mut rows, mut pages, mut found_some) = (0, 0, 0);
    for case in 0..asking.cases {
        let question = Question::random(random);
        println!("case {case}: {question:?}");
        let expected = Expected::of(&asking.owner, &question, asking.watermark).await;
        let found = all_pages(world, &question, expected.rows.len(), random).await;
        pages += found.pages;
        rows += found.rows.len();
        found_some += u64::from(!found.rows.is_empty());
        assert_eq!(found.window, question.expected_window().as_str());
        expected.check(&found.rows);
    }
    println!("{rows} rows on {pages} pages of {found_some} queries");
    assert!(
        found_some > asking.cases / 2,
        "most queries must find something: {found_some}"
    );
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
