//! A query string, read with all its faults at once.

use std::{borrow::Cow, fmt::Display, ops::RangeInclusive, str::FromStr};

use platform::http::problem::{FieldError, Problem};
use schemas::{Fault, Faults, fault::pointer};
use uuid::Uuid;

/// The parameters by name, and what is wrong with them.
pub(crate) struct Params<'a> {
    pairs: &'a [(String, String)],
    /// What was found so far; see [`Faults::or_value`].
    pub(crate) faults: Faults,
}

impl<'a> Params<'a> {
    /// The decoded pairs of a query string; each of `names` may be there once, and no other.
    pub(crate) fn new(pairs: &'a [(String, String)], names: &[&str]) -> Self {
        let mut faults = Faults::default();
        for (index, (name, _)) in pairs.iter().enumerate() {
            if !names.contains(&name.as_str()) {
                faults.push(place(name), "unknown_parameter", "is not known here");
            } else if pairs[..index].iter().any(|(earlier, _)| earlier == name) {
                faults.push(place(name), "duplicate", "must be given once");
            }
        }
        Self { pairs, faults }
    }

    /// A parameter's text, if it is given.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        let pair = self.pairs.iter().find(|(given, _)| given == name);
        pair.map(|(_, value)| value.as_str())
    }

    /// Something is wrong with a parameter.
    pub(crate) fn fault(
        &mut self,
        name: &str,
        code: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) {
        self.faults.push(place(name), code, message);
    }

    /// A parameter that parses, if it is given; or a fault with this code.
    pub(crate) fn optional<T: FromStr<Err: Display>>(
        &mut self,
        name: &str,
        code: &'static str,
    ) -> Option<T> {
        let value = self.get(name)?;
        match value.parse() {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                // The commonest mistake with offsets: a bare + is a blank in a query string.
                let hint = match value.contains(' ') {
                    true => "; write + as %2B",
                    false => "",
                };
                self.fault(name, code, format!("{error}{hint}"));
                None
            }
        }
    }

    /// A UUID in its hyphenated form alone: one id, one text.
    pub(crate) fn id(&mut self, name: &str) -> Option<Uuid> {
        let parsed = self.get(name)?.parse::<uuid::fmt::Hyphenated>();
        match parsed {
            Ok(id) => Some(id.into_uuid()),
            Err(_) => {
                self.fault(name, "format", "must be a UUID");
                None
            }
        }
    }

    /// A whole number within bounds, or the default if it is not given.
    pub(crate) fn whole_number(
        &mut self,
        name: &str,
        bounds: RangeInclusive<usize>,
        default: usize,
    ) -> usize {
        let parsed = self.get(name).map_or(Ok(default), str::parse);
        match parsed {
            Ok(number) if bounds.contains(&number) => number,
            _ => {
                let (least, most) = (bounds.start(), bounds.end());
                let message = format!("must be a whole number from {least} to {most}");
                self.fault(name, "range", message);
                default
            }
        }
    }
}

/// The 400 that says all of it.
pub(crate) fn problem(faults: Vec<Fault>) -> Problem {
    let errors = faults.into_iter().map(|fault| FieldError {
        pointer: fault.pointer,
        code: fault.code.to_owned(),
        message: fault.message.into_owned(),
    });
    Problem::bad_request(
        "invalid_query",
        "The query's parameters are invalid; see `errors`.",
    )
    .errors(errors.collect())
}

/// The pointer to a parameter; of a name that someone made up, no more than its beginning.
fn place(name: &str) -> String {
    let start: String = name.chars().take(100).collect();
    pointer("", &start)
}
