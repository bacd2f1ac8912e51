//! I4 once more, as users see it: the query API's numbers are the organization's own.

use chrono::{TimeDelta, Utc};
use reqwest::StatusCode;
use serde_json::Value;
use sqlx::PgPool;

use super::load::Target;
use crate::pipeline::eventually;

/// Compares what each organization is told of its commands with its rows.
pub(crate) async fn answers_are_their_own(target: &Target, pool: &PgPool, port: u16) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let day = |days| (Utc::now() + TimeDelta::days(days)).format("%FT%TZ");
    let url = format!(
        "http://127.0.0.1:{port}/api/metrics/aggregated?group_by=none&aggregation_window=1d\
         &start_date={}&end_date={}&limit=1000",
        day(-40),
        day(1)
    );
    for organization in &target.organizations {
        let request = http.get(&url).bearer_auth(target.token(*organization));
        // It may still be starting.
        let answer = eventually("the query API answers", || async {
            let request = request.try_clone().expect("it has no body");
            let response = request.send().await.ok()?;
            if response.status() == StatusCode::BAD_REQUEST {
                panic!("{}", response.text().await.unwrap());
            }
            let answers = response.status() == StatusCode::OK;
            let body: Value = response.json().await.ok()?;
            answers.then_some(body)
        })
        .await;
        let rows = answer["data"].as_array().expect("rows");
        let counts = rows
            .iter()
            .filter_map(|row| row["commands"]["count"].as_i64());
        let told: i64 = counts.sum();
        let sql = "select count(*) from flowmeter.command_executions where organization_id = $1";
        let stored: i64 = sqlx::query_scalar(sql)
            .bind(organization)
            .fetch_one(pool)
            .await
            .unwrap();
        assert_eq!(told, stored, "I4: commands that {organization} is told of");
    }
}
