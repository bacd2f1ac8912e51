//! What a client says of the answers that it has (RFC 9110, section 13.1; RFC 9111, section 5.2.1).

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// Whether the client has the answer with this weak tag.
pub(super) fn has(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let wanted = etag.to_str().map(opaque).unwrap_or_default();
    texts(headers, header::IF_NONE_MATCH).any(|tag| tag == "*" || opaque(tag) == wanted)
}

/// Whether the client wants to be sure that the answer is the database's now.
pub(super) fn wants_fresh(headers: &HeaderMap) -> bool {
    texts(headers, header::CACHE_CONTROL).any(|directive| {
        directive.eq_ignore_ascii_case("no-cache") || directive.eq_ignore_ascii_case("max-age=0")
    })
}

/// The members of a list.
fn texts(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_weakly_and_come_in_lists() {
        let etag = HeaderValue::from_static("W/\"abc\"");
        for (given, expected) in [
            ("W/\"abc\"", true),
            ("\"abc\"", true),
            ("\"x\", W/\"abc\"", true),
            ("*", true),
            ("\"x\"", false),
            ("abc", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static(given));
            assert_eq!(has(&headers, &etag), expected, "{given}");
        }
        assert!(!has(&HeaderMap::new(), &etag));
    }

    #[test]
    fn who_reloads_wants_the_database() {
        for (given, expected) in [
            ("no-cache", true),
            ("max-age=0", true),
            ("foo, No-Cache", true),
            ("max-age=60", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(given));
            assert_eq!(wants_fresh(&headers), expected, "{given}");
        }
    }
}
