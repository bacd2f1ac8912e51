//! Objects of the users' own making: arguments, context, metadata, dimensions.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    fault::{Faults, pointer},
    json::Members,
};

/// Largest size of one, in bytes of compact JSON.
pub const MAX_BYTES: usize = 16 * 1024;
/// Deepest nesting; the object itself is at depth 1.
pub const MAX_DEPTH: usize = 8;
/// Keys that would poison the prototype of a careless reader's objects.
const REMOVED_KEYS: [&str; 3] = ["__proto__", "constructor", "prototype"];

/// A free JSON object as text. Once [normalized](FreeObject::normalize) it is compact, has
/// no key twice, holds nothing that PostgreSQL's `jsonb` refuses, and its numbers are
/// written as their author wrote them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FreeObject(String);

impl FreeObject {
    /// Takes any text; [`FreeObject::normalize`] looks into it.
    pub fn unchecked(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Checks and rewrites the object; `at` is the pointer of the field that holds it.
    pub fn normalize(&mut self, at: &str, faults: &mut Faults) {
        let Ok(raw) = serde_json::from_str::<&RawValue>(&self.0) else {
            faults.push(at, "not_json", "is not valid JSON");
            return;
        };
        if !raw.get().starts_with('{') {
            faults.push(at, "type", "must be an object");
            return;
        }
        let mut out = String::with_capacity(self.0.len().min(MAX_BYTES));
        if copy(raw, at, 1, &mut out, faults).is_some() && out.len() > MAX_BYTES {
            faults.push(at, "too_large", "is larger than 16 KiB");
        }
        self.0 = out;
    }
}

/// Writes `raw` to `out`, compact. `None` ends the walk early: what is wrong is reported
/// and the rest is not worth reading.
fn copy(
    raw: &RawValue,
    at: &str,
    depth: usize,
    out: &mut String,
    faults: &mut Faults,
) -> Option<()> {
    let text = raw.get();
    match text.as_bytes()[0] {
        b'{' | b'[' if depth > MAX_DEPTH => {
            faults.push(at, "too_deep", "is nested deeper than 8 levels");
            None
        }
        b'{' => copy_object(text, at, depth, out, faults),
        b'[' => {
            let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(text) else {
                faults.push(at, "not_json", "is not valid JSON");
                return None;
            };
            out.push('[');
            for (i, item) in items.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                copy(item, &pointer(at, &i.to_string()), depth + 1, out, faults)?;
            }
            out.push(']');
            Some(())
        }
        b'"' => copy_text(&serde_json::from_str::<String>(text).ok(), at, out, faults),
        b'-' | b'0'..=b'9' => {
            let is_zero = |t: &str| {
                !t.split(['e', 'E'])
                    .next()
                    .unwrap_or(t)
                    .contains(['1', '2', '3', '4', '5', '6', '7', '8', '9'])
            };
            match text.parse::<f64>() {
                Ok(x) if x.is_finite() && (x != 0.0 || is_zero(text)) => out.push_str(text),
                _ => faults.push(
                    at,
                    "number_out_of_range",
                    "is a number beyond double precision",
                ),
            }
            Some(())
        }
        _ => {
            out.push_str(text);
            Some(())
        }
    }
}

fn copy_object(
    text: &str,
    at: &str,
    depth: usize,
    out: &mut String,
    faults: &mut Faults,
) -> Option<()> {
    let Ok(Members(mut members)) = serde_json::from_str::<Members<'_>>(text) else {
        faults.push(at, "invalid_text", "has a key that is not valid Unicode");
        return None;
    };
    members.retain(|(key, _)| !REMOVED_KEYS.contains(&&**key));
    let mut keys: Vec<&str> = members.iter().map(|(key, _)| &**key).collect();
    keys.sort_unstable();
    if let Some(twice) = keys.windows(2).find(|pair| pair[0] == pair[1]) {
        faults.push(
            pointer(at, twice[0]),
            "duplicate_key",
            "is there more than once",
        );
        return None;
    }
    out.push('{');
    for (i, (key, value)) in members.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        let at = pointer(at, &key);
        copy_text(&Some(key.into_owned()), &at, out, faults)?;
        out.push(':');
        copy(value, &at, depth + 1, out, faults)?;
        if out.len() > MAX_BYTES {
            // Reported by the caller; a large object is not copied to its end.
            return Some(());
        }
    }
    out.push('}');
    Some(())
}

fn copy_text(text: &Option<String>, at: &str, out: &mut String, faults: &mut Faults) -> Option<()> {
    match text {
        None => faults.push(at, "invalid_text", "is not valid Unicode"),
        Some(text) if text.contains('\0') => {
            faults.push(at, "nul_character", "holds U+0000, which cannot be stored");
        }
        Some(text) => {
            out.push_str(&serde_json::to_string(text).expect("text is always JSON"));
            return Some(());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normalized(text: &str) -> Result<String, Vec<(String, &'static str)>> {
        let mut object = FreeObject::unchecked(text);
        let mut faults = Faults::default();
        object.normalize("/context", &mut faults);
        faults
            .or_value(object.0)
            .map_err(|f| f.into_iter().map(|f| (f.pointer, f.code)).collect())
    }

    fn fault(text: &str) -> (String, &'static str) {
        normalized(text).unwrap_err().remove(0)
    }

    #[test]
    fn numbers_stay_as_written_and_poison_goes_at_every_depth() {
        assert_eq!(
            normalized(
                r#"{ "a" : 1.10, "__proto__": {"x": 1}, "b": [ {"constructor": 1, "c": 12345678901234567890} ], "d": "\u00e9", "prototype": null }"#
            ),
            Ok(r#"{"a":1.10,"b":[{"c":12345678901234567890}],"d":"é"}"#.to_owned())
        );
        assert_eq!(normalized("{}"), Ok("{}".to_owned()));
        assert_eq!(
            normalized(r#"{"z":0e5,"y":-0.0}"#),
            Ok(r#"{"z":0e5,"y":-0.0}"#.to_owned())
        );
    }

    #[test]
    fn what_cannot_be_kept_is_refused_at_its_place() {
        assert_eq!(fault("[1]"), ("/context".into(), "type"));
        assert_eq!(fault("{"), ("/context".into(), "not_json"));
        assert_eq!(
            fault(r#"{"a":{"b":"\u0000"}}"#),
            ("/context/a/b".into(), "nul_character")
        );
        assert_eq!(
            fault(r#"{"a":["\ud800"]}"#),
            ("/context/a/0".into(), "invalid_text")
        );
        assert_eq!(
            fault(r#"{"a":1e999}"#),
            ("/context/a".into(), "number_out_of_range")
        );
        assert_eq!(
            fault(r#"{"a":1e-999}"#),
            ("/context/a".into(), "number_out_of_range")
        );
        assert_eq!(
            fault(r#"{"a":1,"a":2}"#),
            ("/context/a".into(), "duplicate_key")
        );
        let deep = |n: usize| format!("{{\"a\":{}1{}}}", "[".repeat(n), "]".repeat(n));
        assert!(normalized(&deep(MAX_DEPTH - 1)).is_ok());
        assert_eq!(fault(&deep(MAX_DEPTH)).1, "too_deep");
        let sized = |n: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(n - 8));
        assert!(normalized(&sized(MAX_BYTES)).is_ok());
        assert_eq!(
            fault(&sized(MAX_BYTES + 1)),
            ("/context".into(), "too_large")
        );
    }

    proptest! {
        #[test]
        fn normal_form_is_stable_and_any_text_is_safe(text in "\\{(\"[a-c_]{0,3}\":([0-9]{1,3}|\"[\\PC]{0,5}\"|\\[1,2\\]|\\{\\}),?){0,4}\\}|\\PC{0,40}") {
            if let Ok(once) = normalized(&text) {
                prop_assert_eq!(normalized(&once), Ok(once.clone()));
            }
        }
    }
}
