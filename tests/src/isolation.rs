//! Organizations see nothing of each other.

use platform::auth::Role;
use reqwest::StatusCode;
use serde_json::json;
use uuid::Uuid;

use crate::client::Client;
use crate::pipeline::{Pipeline, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_organizations_with_the_same_user_and_team_ids_see_only_their_own() {
    let mut pipeline = Pipeline::start().await;
    let (user, team) = (Uuid::new_v4(), Uuid::new_v4());
    let organizations = [Uuid::new_v4(), Uuid::new_v4()];
    for (organization, count) in organizations.into_iter().zip([2, 3]) {
        let client = Client::of(&pipeline, organization, Role::Admin);
        for _ in 0..count {
            let event = json!({
                "user_id": user, "team_id": team, "command_name": format!("of-{count}"),
                "execution_time_ms": count, "status": "success",
            });
            let (status, answer) = client.post("/api/metrics/commands", &event).await;
            assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        }
    }
    for (organization, count) in organizations.into_iter().zip([2, 3]) {
        let client = Client::of(&pipeline, organization, Role::Viewer);
        for query in [
            "group_by=command&aggregation_window=1d".to_owned(),
            format!("group_by=command&aggregation_window=1d&user_id={user}"),
            format!("group_by=command&aggregation_window=1d&team_id={team}"),
        ] {
            let row = eventually("the organization's events are counted", || async {
                let rows = client.aggregated(&query).await;
                let all = rows.len() == 1 && rows[0]["commands"]["count"] == count;
                all.then(|| rows[0].clone())
            })
            .await;
            assert_eq!(row["command_name"], format!("of-{count}"));
            assert_eq!(row["commands"]["execution_time_ms"]["sum"], count * count);
        }
    }
    // Naming the other organization is refused.
    let client = Client::of(&pipeline, organizations[0], Role::Admin);
    let event = json!({
        "organization_id": organizations[1], "user_id": user, "command_name": "x",
        "execution_time_ms": 1, "status": "success",
    });
    let (status, answer) = client.post("/api/metrics/commands", &event).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    assert_eq!(answer["errors"][0]["pointer"], "/organization_id");
    pipeline.stop().await;
}
