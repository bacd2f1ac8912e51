//! A user of the HTTP services.

use platform::auth::{Identity, Role, issue};
use platform::config::{Env, JwtConfig};
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;
use uuid::Uuid;

use crate::pipeline::{JWT_SECRET, Pipeline};

/// Somebody of an organization.
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    pub(crate) token: String,
}

impl Client {
    pub(crate) fn of(pipeline: &Pipeline, organization_id: Uuid, role: Role) -> Self {
        let jwt = JwtConfig::from_env(&mut Env::from_pairs([("JWT_SECRET", JWT_SECRET)]));
        let identity = Identity {
            user_id: Uuid::new_v4(),
            organization_id,
            role,
            team_ids: None,
        };
        let token = issue(&jwt, &identity, std::time::Duration::from_secs(3600)).unwrap();
        Self {
            http: reqwest::Client::new(),
            base: pipeline.base().to_owned(),
            token,
        }
    }

    /// The same person, calling a pipeline that was started again.
    pub(crate) fn reconnect(&mut self, pipeline: &Pipeline) {
        pipeline.base().clone_into(&mut self.base);
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let url = format!("{}{path}", self.base);
        let request = self.http.post(url).bearer_auth(&self.token).json(body);
        read(request.send().await.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        let url = format!("{}{path}", self.base);
        let request = self.http.get(url).bearer_auth(&self.token);
        read(request.send().await.unwrap()).await
    }

    /// A call with a value for one of its parameters, wherever that goes.
    pub(crate) async fn inject(
        &self,
        method: &Method,
        path: &str,
        place: &str,
        name: &str,
        value: &str,
    ) -> (StatusCode, String) {
        let mut url = reqwest::Url::parse(&self.base).unwrap();
        let hole = format!("{{{name}}}");
        {
            let mut segments = url.path_segments_mut().unwrap();
            let parts = path.trim_start_matches('/').split('/');
            segments.extend(parts.map(|part| if part == hole { value } else { part }));
        }
        if place == "query" {
            url.query_pairs_mut().append_pair(name, value);
        }
        let mut request = self
            .http
            .request(method.clone(), url)
            .bearer_auth(&self.token);
        if place == "header" {
            request = request.header(name, value);
        }
        if *method != Method::GET {
            request = request.json(&serde_json::json!({}));
        }
        let response = request.send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    }

    /// All rows of a query of `/aggregated`, page by page.
    pub(crate) async fn aggregated(&self, query: &str) -> Vec<Value> {
        let mut rows = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/api/metrics/aggregated?{query}{cursor}");
            let (status, mut page) = self.get(&path).await;
            assert_eq!(status, StatusCode::OK, "{page}");
            rows.append(page["data"].as_array_mut().unwrap());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return rows,
            }
        }
    }
}

async fn read(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let body = response.text().await.unwrap();
    let body = serde_json::from_str(&body).unwrap_or(Value::String(body));
    (status, body)
}
