//! An organization that posts more than it may.

use serde_json::json;

use super::harness::{Harness, command};

#[tokio::test]
async fn who_posts_too_much_is_told_how_long_to_wait() {
    let limits = [
        ("RATE_LIMIT_MAX_REQUESTS", "2"),
        ("RATE_LIMIT_BATCH_EVENTS", "5"),
    ];
    // Without topics: what is limited does not depend on what the broker says.
    let harness = Harness::with(&limits).await;
    for left in [1, 0] {
        let answer = harness.post("commands", &json!({})).await;
        assert_eq!(answer.code(), (400, "invalid_event"));
        let policy = r#""single";q=2;w=60"#;
        assert_eq!(answer.headers["ratelimit-policy"], policy);
        let standing = answer.headers["ratelimit"].to_str().unwrap();
        let start = format!(r#""single";r={left};t="#);
        assert!(standing.starts_with(&start), "{standing}");
    }
    let refused = harness.post("commands", &command(json!({}))).await;
    assert_eq!(refused.code(), (429, "rate_limited"));
    assert!(refused.headers.contains_key("retry-after"));

    // Counted by events, apart from single ones: four of five, then four more do not fit.
    let batch = json!({ "command_executions": [{}, {}, {}, {}] });
    let answer = harness.post("batch", &batch).await;
    assert_eq!(answer.code(), (400, "no_event_accepted"));
    assert_eq!(answer.headers["ratelimit-policy"], r#""batch";q=5;w=60"#);
    let refused = harness.post("batch", &batch).await;
    assert_eq!(refused.code(), (429, "rate_limited"));
}
