//! The API reference: the description of all calls, and a page that shows it. Services that
//! run apart have the same one, for behind their proxy they have one address.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use platform::http::problem::Problem;
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::Config;

const DESCRIPTION: &str = "/api/openapi.json";
const PAGE: &str = "/api/docs";

/// What the page may load: what this process serves, and nothing else. Swagger UI sets
/// styles on its elements and has pictures in its style sheet.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// `GET /api/openapi.json` and `GET /api/docs`.
pub(crate) fn reference() -> Router {
    let description = serde_json::to_vec(&description()).expect("a description is JSON");
    let description = Bytes::from(description);
    let page = Config::new([DESCRIPTION])
        .use_base_layout()
        // The page must not ask anybody else whether the description is valid.
        .validator_url("none")
        .persist_authorization(false)
        .try_it_out_enabled(true);
    let page = Arc::new(page);
    let assets = Arc::clone(&page);
    Router::new()
        .route(
            DESCRIPTION,
            get(async move || ([(header::CONTENT_TYPE, "application/json")], description)),
        )
        .route(PAGE, get(async || Redirect::permanent("/api/docs/")))
        .route("/api/docs/", get(async move || asset("", page)))
        .route(
            "/api/docs/{*file}",
            get(async move |Path(file): Path<String>| asset(&file, assets)),
        )
}

/// The description of both HTTP services.
fn description() -> OpenApi {
    let mut api = query_api::openapi();
    api.merge(ingest_gateway::openapi());
    "Flowmeter".clone_into(&mut api.info.title);
    api
}

fn asset(file: &str, config: Arc<Config<'static>>) -> Response {
    match utoipa_swagger_ui::serve(file, config) {
        Ok(Some(asset)) => {
            let headers = [
                (header::CONTENT_TYPE, asset.content_type.as_str()),
                (header::CONTENT_SECURITY_POLICY, POLICY),
            ];
            (headers, asset.bytes.into_owned()).into_response()
        }
        Ok(None) => Problem::not_found().into_response(),
        Err(error) => Problem::internal(anyhow::anyhow!("{error}")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    async fn fetch(path: &str) -> (u16, String, String) {
        let app = reference();
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = app.oneshot(request).await.unwrap();
        let header = |name| match answer.headers().get(name) {
            Some(value) => value.to_str().unwrap().to_owned(),
            None => String::new(),
        };
        let policy = header(header::CONTENT_SECURITY_POLICY);
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), 8 << 20).await.unwrap();
        (status, policy, String::from_utf8_lossy(&body).into_owned())
    }

    /// Every `src` and `href` of the page, and what its scripts load first.
    #[tokio::test]
    async fn the_page_asks_nobody_else() {
        assert_eq!(fetch("/api/docs").await.0, 308);
        let (status, policy, page) = fetch("/api/docs/").await;
        assert_eq!((status, policy.as_str()), (200, POLICY));
        let links = ["src=\"", "href=\""]
            .into_iter()
            .flat_map(|attribute| page.split(attribute).skip(1))
            .map(|rest| rest.split('"').next().unwrap());
        let mut files = 0;
        for link in links {
            assert!(!link.contains("//"), "{link}");
            let file = link.trim_start_matches("./");
            let (status, policy, body) = fetch(&format!("/api/docs/{file}")).await;
            assert_eq!((status, policy.as_str()), (200, POLICY), "{link}");
            assert!(!body.is_empty());
            files += 1;
        }
        assert!(files > 3, "{page}");
        assert!(!page.contains("<script>"), "the policy would stop it");
        let (_, _, script) = fetch("/api/docs/swagger-initializer.js").await;
        assert!(script.contains(DESCRIPTION), "{script}");
        assert!(!script.contains("http"), "{script}");
        assert_eq!(fetch("/api/docs/nothing.js").await.0, 404);
    }

    #[tokio::test]
    async fn the_description_is_openapi_3_1() {
        let (status, _, text) = fetch(DESCRIPTION).await;
        let api: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &api["openapi"]), (200, &"3.1.0".into()));
    }

    /// Merged, one of two schemas of the same name would be lost.
    #[test]
    fn the_two_descriptions_do_not_contradict_each_other() {
        let schemas = |api: OpenApi| api.components.map(|c| c.schemas).unwrap_or_default();
        let gateway = schemas(ingest_gateway::openapi());
        let query = schemas(query_api::openapi());
        for (name, schema) in &gateway {
            if let Some(other) = query.get(name) {
                assert!(schema == other, "{name}");
            }
        }
        assert!(description().paths.paths.contains_key("/api/metrics/batch"));
    }
}
