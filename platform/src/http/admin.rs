//! The port for operators: metrics and health, apart from users.

use std::time::Duration;

use axum::{Router, routing::get};
use tokio::time::{MissedTickBehavior, interval};

use super::{health::Health, layers, server};
use crate::{
    config::AdminConfig,
    lifecycle::Shutdown,
    telemetry::metrics::{PrometheusHandle, metrics_handler},
};

/// How often the recorder tidies up what histograms gathered between scrapes;
/// without it they grow for as long as nobody scrapes.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// `/metrics`, `/health/live` and `/health/ready`.
pub fn admin_router(health: &Health, metrics: PrometheusHandle) -> Router {
    health
        .router()
        .route("/metrics", get(async move || metrics_handler(&metrics)))
}

/// Serves [`admin_router`] and keeps the recorder tidy until shutdown.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve_admin(
    config: AdminConfig,
    health: Health,
    metrics: PrometheusHandle,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let http = config.http();
    let listener = server::bind(&http).await?;
    let router = layers::standard(admin_router(&health, metrics.clone()), "admin", &http);
    let ended = shutdown.child();
    let upkeep = async {
        keep_up(metrics, ended).await;
        Ok(())
    };
    tokio::try_join!(server::serve(listener, router, http, shutdown), upkeep)?;
    Ok(())
}

/// Tidies the recorder up until shutdown.
pub async fn keep_up(metrics: PrometheusHandle, shutdown: Shutdown) {
    let mut ticks = interval(UPKEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.triggered() => return,
            _ = ticks.tick() => metrics.run_upkeep(),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use tower::ServiceExt;

    use super::*;
    use crate::{config::Env, telemetry};

    #[tokio::test]
    async fn metrics_are_served_in_the_text_format() {
        let router = admin_router(
            &Health::new("test", "1"),
            telemetry::metrics::install().unwrap(),
        );
        let request = Request::get("/metrics").body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let media_type = response.headers()["content-type"].to_str().unwrap();
        assert!(
            media_type.starts_with("text/plain; version=0.0.4"),
            "{media_type}"
        );
    }

    #[tokio::test]
    async fn the_admin_server_ends_with_the_others() {
        let config = AdminConfig::from_env(&mut Env::from_pairs([("ADMIN_PORT", "0")]));
        let shutdown = Shutdown::new();
        let metrics = telemetry::metrics::install().unwrap();
        let served = serve_admin(config, Health::new("test", "1"), metrics, shutdown.clone());
        shutdown.trigger();
        served.await.unwrap();
    }
}
