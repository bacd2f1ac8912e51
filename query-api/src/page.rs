//! The dashboard page at `/`: files that were built from `web/` and are part of this program.
//!
//! All but `index.html` have a hash of their content in their name: what an address says never
//! changes, so that browsers and any CDN may keep it for ever.

use std::sync::LazyLock;

use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use platform::http::problem::Problem;
use sha2::{Digest, Sha256};
use tower_http::compression::{
    CompressionLayer,
    predicate::{DefaultPredicate, NotForContentType, Predicate},
};

/// The files by name, as `build.rs` found them.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/page_files.rs"));

const INDEX: &str = "index.html";

/// What the page may load and whom it may ask: this address, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; \
    img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// The hash of the page. Weak, since it is the same for every encoding.
static TAG: LazyLock<String> = LazyLock::new(|| {
    let hash = Sha256::digest(file(INDEX).unwrap_or_default());
    let start: Vec<String> = hash.iter().take(8).map(|b| format!("{b:02x}")).collect();
    format!("W/\"{}\"", start.concat())
});

/// The routes.
pub(crate) fn router() -> Router {
    // Fonts are compressed already.
    let compressed = DefaultPredicate::new().and(NotForContentType::const_new("font/"));
    Router::new()
        .route("/", get(index))
        .route("/assets/{file}", get(asset))
        .layer(CompressionLayer::new().compress_when(compressed))
}

async fn index(headers: HeaderMap) -> Response {
    let Some(page) = file(INDEX) else {
        return Problem::not_found().into_response();
    };
    let own = [
        // The page of the day: asked for each time, and sent only if it is another.
        (header::CACHE_CONTROL, "no-cache"),
        (header::ETAG, TAG.as_str()),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    if is_known(headers.get(header::IF_NONE_MATCH)) {
        return (StatusCode::NOT_MODIFIED, own).into_response();
    }
    (own, [(header::CONTENT_TYPE, content_type(INDEX))], page).into_response()
}

/// Whether whoever asks has this page.
fn is_known(tags: Option<&HeaderValue>) -> bool {
    let Some(Ok(tags)) = tags.map(HeaderValue::to_str) else {
        return false;
    };
    // A proxy may have made the tag strong; for reading both are the same (RFC 9110, 13.1.2).
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let own = opaque(&TAG);
    tags.trim() == "*" || tags.split(',').any(|tag| opaque(tag) == own)
}

async fn asset(Path(name): Path<String>) -> Response {
    let Some(bytes) = file(&format!("assets/{name}")) else {
        return Problem::not_found().into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, content_type(&name)),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    (headers, bytes).into_response()
}

fn file(name: &str) -> Option<&'static [u8]> {
    let found = FILES.binary_search_by_key(&name, |(name, _)| name).ok()?;
    Some(FILES[found].1)
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use axum::{body::Body, http::Request};
    use flate2::read::GzDecoder;
    use tower::ServiceExt;

    use super::*;

    async fn fetch(path: &str, headers: &[(&str, &str)]) -> (u16, HeaderMap, Vec<u8>) {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let answer = router().oneshot(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = axum::body::to_bytes(body, 8 << 20).await.unwrap();
        (parts.status.as_u16(), parts.headers, body.to_vec())
    }

    /// The addresses in `src` and `href`.
    fn links(page: &str) -> Vec<&str> {
        ["src=\"", "href=\""]
            .into_iter()
            .flat_map(|attribute| page.split(attribute).skip(1))
            .map(|rest| rest.split('"').next().unwrap())
            .collect()
    }

    #[tokio::test]
    async fn the_page_and_all_it_names_are_here_and_nothing_is_inline() {
        let (status, headers, page) = fetch("/", &[]).await;
        assert_eq!(
            (status, &headers["content-security-policy"]),
            (200, POLICY.parse().as_ref().unwrap())
        );
        assert_eq!(headers["content-type"], "text/html; charset=utf-8");
        assert_eq!(headers["cache-control"], "no-cache");
        let page = String::from_utf8(page).unwrap();
        for inline in ["<script>", "<style", "style=", " on"] {
            let tags = page.split("<body").next().unwrap();
            assert!(!tags.contains(inline), "{inline}: {page}");
        }
        let links = links(&page);
        assert!(links.len() >= 3, "{page}");
        for link in links {
            assert!(link.starts_with("/assets/"), "{link}");
            let (status, headers, body) = fetch(link, &[]).await;
            assert_eq!(status, 200, "{link}");
            assert_eq!(
                headers["cache-control"],
                "public, max-age=31536000, immutable"
            );
            assert_ne!(
                headers["content-type"], "application/octet-stream",
                "{link}"
            );
            assert!(!body.is_empty());
        }
    }

    #[tokio::test]
    async fn every_file_has_a_type_and_a_name_with_a_hash() {
        assert!(FILES.is_sorted_by_key(|(name, _)| name));
        let mut bytes = 0;
        for (name, content) in FILES {
            assert_ne!(content_type(name), "application/octet-stream", "{name}");
            // Vite's hashes have eight characters, of which a hyphen may be one.
            let stem = name.rsplit_once('.').map_or("", |(stem, _)| stem);
            let hashed = stem.len() > 8 && stem.as_bytes()[stem.len() - 9] == b'-';
            assert!(*name == INDEX || hashed, "{name}");
            bytes += content.len();
        }
        assert!(bytes < 400_000, "{bytes} bytes are no small page any more");
    }

    #[tokio::test]
    async fn a_page_that_is_known_is_not_sent_again() {
        let (_, headers, _) = fetch("/", &[]).await;
        let tag = headers["etag"].to_str().unwrap().to_owned();
        let strong = tag.trim_start_matches("W/");
        for known in [tag.as_str(), strong, "*", &format!("\"a\", {tag}")] {
            let (status, headers, body) = fetch("/", &[("if-none-match", known)]).await;
            assert_eq!((status, body.len()), (304, 0), "{known}");
            assert_eq!(headers["etag"], tag.as_str());
        }
        assert_eq!(fetch("/", &[("if-none-match", "\"other\"")]).await.0, 200);
    }

    #[tokio::test]
    async fn what_can_be_compressed_is() {
        let script = FILES
            .iter()
            .find(|(name, _)| name.ends_with(".js"))
            .unwrap();
        let path = format!("/{}", script.0);
        let (_, headers, body) = fetch(&path, &[("accept-encoding", "gzip")]).await;
        assert_eq!(headers["content-encoding"], "gzip");
        assert_eq!(headers["vary"], "accept-encoding");
        assert!(body.len() < script.1.len() / 2);
        let mut plain = Vec::new();
        GzDecoder::new(&*body).read_to_end(&mut plain).unwrap();
        assert_eq!(plain, script.1);

        let font = FILES
            .iter()
            .find(|(name, _)| name.ends_with(".woff2"))
            .unwrap();
        let path = format!("/{}", font.0);
        let (_, headers, body) = fetch(&path, &[("accept-encoding", "gzip")]).await;
        assert_eq!(
            (headers.get("content-encoding"), body.as_slice()),
            (None, font.1)
        );
    }

    #[tokio::test]
    async fn nothing_else_is_served() {
        for path in [
            "/assets/nothing.js",
            "/assets/..%2Findex.html",
            "/assets/%2e%2e%2fCargo.toml",
        ] {
            assert_eq!(fetch(path, &[]).await.0, 404, "{path}");
        }
    }
}
