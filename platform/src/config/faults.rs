//! What is wrong with a configuration, and how it is shown without secrets.

use std::fmt;

/// Parts of a variable's name that mark its value as one never to be shown.
const SECRET_MARKS: [&str; 5] = ["SECRET", "PASSWORD", "TOKEN", "PROPERTIES", "_KEY"];

/// The most characters of an offending value that a message quotes.
const QUOTED_CHARS: usize = 80;

/// One variable that cannot be used as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFault {
    /// The variable's name.
    pub name: String,
    /// What is wrong, with the offending value unless it is a secret.
    pub message: String,
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.message)
    }
}

/// Every fault of a configuration, in the order the variables were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFaults(Vec<ConfigFault>);

impl ConfigFaults {
    pub(super) fn new(faults: Vec<ConfigFault>) -> Self {
        Self(faults)
    }

    /// The faults one by one; never empty.
    #[must_use]
    pub fn faults(&self) -> &[ConfigFault] {
        &self.0
    }
}

impl fmt::Display for ConfigFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigFaults {}

/// Whether a variable's name alone says that its value is a secret.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    SECRET_MARKS.iter().any(|mark| name.contains(mark))
}

/// ` (got "…")` for a message, or nothing that tells the value of a secret.
pub(super) fn quoted(name: &str, value: &str) -> String {
    if is_secret(name) {
        return " (got a value that is not shown)".to_owned();
    }
    let shown = without_user_info(value);
    let mut short: String = shown.chars().take(QUOTED_CHARS).collect();
    if shown.chars().count() > QUOTED_CHARS {
        short.push('…');
    }
    format!(" (got {short:?})")
}

/// The value with anything that may be a URL's user info or query left out.
///
/// It works on text and not on a parsed URL, because the values that come here
/// are those that failed to parse.
pub(super) fn without_user_info(value: &str) -> String {
    let (scheme, rest) = match value.find("://") {
        Some(at) => value.split_at(at + 3),
        None => ("", value),
    };
    let (user_info, host) = match rest.rfind('@') {
        Some(at) => ("***@", &rest[at + 1..]),
        None => ("", rest),
    };
    // A driver takes a password as a query parameter too.
    let (host, query) = match (scheme.is_empty(), host.find('?')) {
        (false, Some(at)) => (&host[..at], "?***"),
        _ => (host, ""),
    };
    format!("{scheme}{user_info}{host}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_info_and_query_of_a_url_are_not_shown() {
        for (value, shown) in [
            ("postgres://u:p@h:1/d", "postgres://***@h:1/d"),
            ("postgres://u:p@ss@h/d", "postgres://***@h/d"),
            ("postgres://u:p/w@h/d", "postgres://***@h/d"),
            ("postgres://h/d?password=x", "postgres://h/d?***"),
            ("u:p@h", "***@h"),
            ("http://h:8081", "http://h:8081"),
            ("plain?", "plain?"),
        ] {
            assert_eq!(without_user_info(value), shown, "{value}");
        }
    }

    #[test]
    fn a_quoted_value_is_short_and_on_one_line() {
        let message = quoted("X", &format!("a\nb{}", "c".repeat(500)));
        assert!(!message.contains('\n'));
        assert!(message.chars().count() < 110, "{message}");
    }

    #[test]
    fn a_secret_is_known_by_its_name() {
        for name in [
            "JWT_SECRET",
            "DB_PASSWORD",
            "X_TOKEN",
            "KAFKA_PROPERTIES",
            "tls_key",
        ] {
            assert!(is_secret(name), "{name}");
            assert!(!quoted(name, "hush").contains("hush"));
        }
        assert!(!is_secret("KAFKA_BROKERS"));
    }
}
