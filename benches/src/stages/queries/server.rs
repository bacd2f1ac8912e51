//! A year in a database of its own, and a query API over it.

use anyhow::Context as _;
use platform::database;

use super::mix;
use crate::harness::{
    Context, http_load,
    installation::{Installation, Service},
    process::CpuClock,
};

/// A migrated database with a year in it, which goes with this value.
pub(super) struct Year {
    pub(super) installation: Installation,
}

impl Year {
    /// Generates one.
    pub(super) async fn load(context: &Context) -> anyhow::Result<Self> {
        let installation = Installation::new().await?;
        let (users, days) = context.choose(("100", "60"), ("200", "365"));
        context.say(format!(
            "queries: {days} days of {users} users are generated"
        ));
        let raw_days = context.choose("30", "60");
        installation.run(
            "year",
            &[
                "--users",
                users,
                "--days",
                days,
                "--raw-days",
                raw_days,
                "--until",
                mix::UNTIL,
            ],
        )?;
        // As the sink does: an organization without a version has no answers that can be kept.
        let pool = installation.database.pool(database::Role::Owner).await;
        sqlx::query("select flowmeter.raise_versions(array[$1])")
            .bind(mix::ORGANIZATION)
            .execute(&pool)
            .await?;
        sqlx::query("vacuum analyze").execute(&pool).await?;
        Ok(Self { installation })
    }

    /// Starts a query API on the servers' cores, with as many connections to the database as
    /// there are clients.
    pub(super) fn serve(&self, context: &Context, keep: bool) -> anyhow::Result<Server> {
        let settings = [
            ("DB_POOL_SIZE", super::CLIENTS.to_string()),
            (
                "CACHE_TTL_SECONDS",
                if keep { "300" } else { "0" }.to_owned(),
            ),
        ];
        let cores = Some(context.cores.server.as_str());
        let mut service = self
            .installation
            .start(context, cores, "query", &settings)?;
        service.until_ready()?;
        Ok(Server {
            service,
            token: self.installation.token(mix::ORGANIZATION)?,
        })
    }
}

/// A running query API; it ends with this value.
pub(super) struct Server {
    service: Service,
    token: String,
}

impl Server {
    /// A load of these requests.
    pub(super) fn plan(
        &self,
        requests: Vec<http_load::Request>,
        clients: usize,
        seconds: f64,
    ) -> http_load::Plan {
        http_load::Plan {
            address: self.service.address().to_owned(),
            requests,
            token: self.token.clone(),
            connections: clients,
            seconds,
        }
    }

    /// Its processor time from now on.
    pub(super) fn clock(&self) -> CpuClock {
        self.service.clock()
    }

    /// The answer to a path, as JSON.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<serde_json::Value> {
        let answer = self.ask(path).await?;
        Ok(serde_json::from_slice(&answer.bytes().await?)?)
    }

    /// The tag of the answer to a path.
    pub(super) async fn tag(&self, path: &str) -> anyhow::Result<String> {
        let answer = self.ask(path).await?;
        let tag = answer.headers().get("etag").context("no tag")?;
        Ok(tag.to_str()?.to_owned())
    }

    async fn ask(&self, path: &str) -> anyhow::Result<reqwest::Response> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let url = format!("http://{}{path}", self.service.address());
        let answer = http.get(url).bearer_auth(&self.token).send().await?;
        Ok(answer.error_for_status()?)
    }
}
