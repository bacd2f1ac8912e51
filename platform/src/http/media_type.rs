//! `Content-Type` of a request.

use axum::http::{HeaderMap, header};
use mime::Mime;

use super::problem::Problem;

/// Which of the media types `known` the body is sent as. Parameters may be added; a
/// `charset` other than UTF-8 may not, since what we read is UTF-8.
///
/// # Errors
/// 415 `unsupported_media_type` when it is none of them, or said not at all or twice.
pub fn sent_as(headers: &HeaderMap, known: &[&'static str]) -> Result<&'static str, Problem> {
    let refused = |detail| Problem::unsupported_media_type(detail);
    let mut sent = headers.get_all(header::CONTENT_TYPE).iter();
    let (first, second) = (sent.next(), sent.next());
    let sent: Option<Mime> = first
        .filter(|_| second.is_none())
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let found = sent.as_ref().and_then(|sent| {
        let is_it = |known: &&&str| sent.essence_str().eq_ignore_ascii_case(known);
        known.iter().find(is_it)
    });
    let Some(found) = found else {
        let known = known.join(" or ");
        return Err(refused(format!("The body must be sent as {known}.")));
    };
    let charset = sent.as_ref().and_then(|sent| sent.get_param(mime::CHARSET));
    if charset.is_some_and(|charset| charset != mime::UTF_8) {
        return Err(refused("The body must be sent in UTF-8.".to_owned()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 2] = ["application/json", "application/cloudevents+json"];

    fn sent(values: &[&str]) -> Result<&'static str, Problem> {
        let headers = values
            .iter()
            .map(|value| (header::CONTENT_TYPE, value.parse().unwrap()))
            .collect();
        sent_as(&headers, &KNOWN)
    }

    #[test]
    fn a_media_type_may_have_parameters() {
        for value in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
            "application/json;v=1",
            "application/json; v=\"a;b\"; charset=utf-8",
        ] {
            assert_eq!(sent(&[value]), Ok("application/json"), "{value}");
        }
        let cloud_event = "application/cloudevents+json; charset=utf-8";
        assert_eq!(sent(&[cloud_event]), Ok(KNOWN[1]));
    }

    #[test]
    fn any_other_media_type_or_charset_is_refused() {
        for value in [
            "text/json",
            "application/json5",
            "application/x-ndjson",
            "application/json+cloudevents",
            "json",
            "",
            "application/json; charset=utf-16",
            "application/json; charset=latin1",
            "application/json, application/json",
        ] {
            let refused = sent(&[value]).unwrap_err();
            assert_eq!(refused.code(), "unsupported_media_type", "{value}");
        }
        assert!(sent(&[]).is_err());
        assert!(sent(&[KNOWN[0], KNOWN[0]]).is_err());
        let refused = sent(&[]).unwrap_err();
        assert!(
            refused
                .detail()
                .contains("application/json or application/cloudevents+json")
        );
    }
}
