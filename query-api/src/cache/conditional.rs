//! What a client says of the answers that it has, and of those that it takes (RFC 9110, sections
//! 13.1 and 12.5.3; RFC 9111, section 5.2.1).

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::entry::Form;

/// The weak tag of the answer, which is not made in vain, if the client has that answer.
pub(super) fn known(
    headers: &HeaderMap,
    etag: impl FnOnce() -> HeaderValue,
) -> Option<HeaderValue> {
    let is_asked = headers.contains_key(header::IF_NONE_MATCH);
    is_asked.then(etag).filter(|etag| has(headers, etag))
}

fn has(headers: &HeaderMap, etag: &HeaderValue) -> bool {
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

/// In which form the client takes an answer.
pub(super) fn form(headers: &HeaderMap) -> Form {
    let takes = |coding: &str| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=");
        let refused = weight.is_some_and(|q| q.parse() == Ok(0.0));
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    };
    match texts(headers, header::ACCEPT_ENCODING).any(takes) {
        true => Form::Gzip,
        false => Form::Plain,
    }
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
            let known = known(&headers, || etag.clone());
            assert_eq!(known.is_some(), expected, "{given}");
        }
        let unasked = || panic!("nobody asked for a tag");
        assert_eq!(known(&HeaderMap::new(), unasked), None);
    }

    #[test]
    fn gzip_is_for_those_who_name_it() {
        for (given, expected) in [
            ("gzip", Form::Gzip),
            ("br, GZIP;q=0.5, zstd", Form::Gzip),
            ("gzip; q=1.0", Form::Gzip),
            ("gzip;q=0", Form::Plain),
            ("gzip; q=0.000, br", Form::Plain),
            ("br", Form::Plain),
            ("identity", Form::Plain),
            ("", Form::Plain),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(given));
            assert_eq!(form(&headers), expected, "{given}");
        }
        assert_eq!(form(&HeaderMap::new()), Form::Plain);
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
