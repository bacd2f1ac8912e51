//! Reading the fields of an event, or of a query, out of a JSON object so that every fault is found, not only
//! the first: a missing field, a wrong type, a field given twice, an unknown one.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{Timestamp, Usd, fault::Faults, fault::pointer, free_object::FreeObject};

/// The members of a JSON object as written: in order, duplicates kept.
#[derive(Debug, Clone)]
pub struct Members<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

/// A name without escapes is not copied.
#[derive(Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsWritten;
        impl<'de> Visitor<'de> for AsWritten {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(AsWritten)
    }
}

/// A JSON object being taken apart. What is `null` counts as absent.
pub struct ObjectReader<'a> {
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> ObjectReader<'a> {
    /// Opens `raw`; a fault at the root if it is no object or a name is not valid text.
    pub fn open(raw: &'a RawValue, faults: &mut Faults) -> Option<Self> {
        if !raw.get().starts_with('{') {
            faults.push("", "type", "must be a JSON object");
            return None;
        }
        match serde_json::from_str::<Members<'a>>(raw.get()) {
            Ok(Members(members)) => Some(Self { members }),
            Err(_) => {
                faults.push("", "invalid_text", "a field's name is not valid Unicode");
                None
            }
        }
    }

    /// The field, if present and not null; a fault if it is there twice.
    fn take(&mut self, name: &str, faults: &mut Faults) -> Option<&'a RawValue> {
        let mut found = None;
        let mut count = 0;
        self.members.retain(|(n, raw)| {
            let is_it = n == name;
            if is_it {
                count += 1;
                found = Some(*raw);
            }
            !is_it
        });
        if count > 1 {
            faults.push(pointer("", name), "duplicate_field", "given more than once");
            return None;
        }
        found.filter(|raw| raw.get() != "null")
    }

    fn parsed<T: DeserializeOwned>(
        &mut self,
        name: &str,
        code: &'static str,
        expected: &'static str,
        faults: &mut Faults,
    ) -> Option<T> {
        let raw = self.take(name, faults)?;
        let value = serde_json::from_str(raw.get()).ok();
        if value.is_none() {
            faults.push(pointer("", name), code, expected);
        }
        value
    }

    /// Text.
    pub fn string(&mut self, name: &str, faults: &mut Faults) -> Option<String> {
        self.parsed(name, "type", "must be a string of valid Unicode", faults)
    }

    /// A UUID in its usual form.
    pub fn uuid(&mut self, name: &str, faults: &mut Faults) -> Option<Uuid> {
        self.parsed(name, "type", "must be a UUID", faults)
    }

    /// An RFC 3339 instant.
    pub fn timestamp(&mut self, name: &str, faults: &mut Faults) -> Option<Timestamp> {
        let text: String = self.parsed(name, "type", "must be an RFC 3339 string", faults)?;
        match text.parse() {
            Ok(timestamp) => Some(timestamp),
            Err(e) => {
                faults.push(pointer("", name), "timestamp", e.to_string());
                None
            }
        }
    }

    /// A whole number, however it is written: in JSON, `5.0` and `5e0` are 5.
    pub fn integer(&mut self, name: &str, faults: &mut Faults) -> Option<i64> {
        let raw = self.take(name, faults)?.get();
        let number = serde_json::from_str(raw).ok().or_else(|| whole(raw));
        if number.is_none() {
            let expected = "must be a whole number of 64 bits";
            faults.push(pointer("", name), "type", expected);
        }
        number
    }

    /// A finite number.
    pub fn number(&mut self, name: &str, faults: &mut Faults) -> Option<f64> {
        self.parsed(name, "type", "must be a number of double precision", faults)
    }

    /// An amount of money: a number, or a string of one for clients without decimals.
    pub fn usd(&mut self, name: &str, faults: &mut Faults) -> Option<Usd> {
        let raw = self.take(name, faults)?.get();
        let text = raw
            .strip_prefix('"')
            .and_then(|t| t.strip_suffix('"'))
            .unwrap_or(raw);
        let amount = Usd::parse(text).ok();
        if amount.is_none() {
            faults.push(
                pointer("", name),
                "type",
                "must be a decimal number or a string of one",
            );
        }
        amount
    }

    /// One of an enumeration's names; `expected` lists them.
    pub fn choice<T: DeserializeOwned>(
        &mut self,
        name: &str,
        expected: &'static str,
        faults: &mut Faults,
    ) -> Option<T> {
        self.parsed(name, "choice", expected, faults)
    }

    /// True or false.
    pub fn boolean(&mut self, name: &str, faults: &mut Faults) -> Option<bool> {
        self.parsed(name, "type", "must be true or false", faults)
    }

    /// Anything, as written.
    pub fn raw(&mut self, name: &str, faults: &mut Faults) -> Option<&'a RawValue> {
        self.take(name, faults)
    }

    /// A list of texts.
    pub fn strings(&mut self, name: &str, faults: &mut Faults) -> Option<Vec<String>> {
        self.parsed(name, "type", "must be an array of strings", faults)
    }

    /// A free object, as written; validation looks into it.
    pub fn object(&mut self, name: &str, faults: &mut Faults) -> Option<FreeObject> {
        let raw = self.take(name, faults)?;
        Some(FreeObject::unchecked(raw.get()))
    }

    /// Says that `name` is required, if it is absent and nothing worse is known of it.
    pub fn require<T>(name: &str, value: Option<T>, faults: &mut Faults) -> Option<T> {
        if value.is_none() {
            faults.push(pointer("", name), "required", "is required");
        }
        value
    }

    /// What `read` makes of the field, which must be there.
    pub fn required<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Self, &str, &mut Faults) -> Option<T>,
        faults: &mut Faults,
    ) -> Option<T> {
        let value = read(self, name, faults);
        Self::require(name, value, faults)
    }

    /// Every field not asked for is unknown and a fault.
    pub fn finish(self, faults: &mut Faults) {
        for (name, _) in self.members {
            let shown: String = name.chars().take(100).collect();
            faults.push(pointer("", &shown), "unknown_field", "is not a known field");
        }
    }
}

/// The whole number that `raw` writes with a point or an exponent. Beyond 2⁵³ doubles have
/// gaps, and another number could be taken than was meant.
fn whole(raw: &str) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let number: f64 = serde_json::from_str(raw).ok()?;
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_the_shape_is_found() {
        let text = r#"{"a": 1, "a": 2, "b": "x", "c": 1.5, "d": null, "e/f": 0, "g": "\ud800"}"#;
        let raw: &RawValue = serde_json::from_str(text).unwrap();
        let mut faults = Faults::default();
        let mut reader = ObjectReader::open(raw, &mut faults).unwrap();
        assert_eq!(reader.integer("a", &mut faults), None);
        assert_eq!(reader.uuid("b", &mut faults), None);
        assert_eq!(reader.integer("c", &mut faults), None);
        assert_eq!(
            reader.required("d", ObjectReader::string, &mut faults),
            None
        );
        assert_eq!(reader.string("g", &mut faults), None);
        reader.finish(&mut faults);
        let found: Vec<_> = faults
            .or_value(())
            .unwrap_err()
            .into_iter()
            .map(|f| (f.pointer, f.code))
            .collect();
        assert_eq!(
            found,
            [
                ("/a".to_owned(), "duplicate_field"),
                ("/b".to_owned(), "type"),
                ("/c".to_owned(), "type"),
                ("/d".to_owned(), "required"),
                ("/g".to_owned(), "type"),
                ("/e~1f".to_owned(), "unknown_field"),
            ]
        );
    }

    #[test]
    fn a_whole_number_may_be_written_with_a_point() {
        let read = |text: &str| {
            let object = format!("{{\"a\":{text}}}");
            let raw: &RawValue = serde_json::from_str(&object).unwrap();
            let mut faults = Faults::default();
            let mut reader = ObjectReader::open(raw, &mut faults).unwrap();
            (reader.integer("a", &mut faults), faults.is_empty())
        };
        for (text, number) in [
            ("5.0", 5),
            ("-5e0", -5),
            ("1.5E3", 1500),
            ("-0.0", 0),
            ("9223372036854775807", i64::MAX),
        ] {
            assert_eq!(read(text), (Some(number), true), "{text}");
        }
        for text in [
            "1.5",
            "1e16",
            "1e-1",
            "\"5\"",
            "9223372036854775808",
            "1e400",
        ] {
            assert_eq!(read(text), (None, false), "{text}");
        }
        assert_eq!(read("null"), (None, true));
    }

    #[test]
    fn only_objects_open() {
        for text in ["[]", "1", "\"{}\"", "null"] {
            let raw: &RawValue = serde_json::from_str(text).unwrap();
            let mut faults = Faults::default();
            assert!(ObjectReader::open(raw, &mut faults).is_none());
            assert!(faults.is_at(""));
        }
    }
}
