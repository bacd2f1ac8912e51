//! What is wrong with an event: every fault of it at once, each with its place.

use std::{borrow::Cow, fmt};

/// One fault of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where: a JSON pointer (RFC 6901) from the event's root; `""` is the event itself.
    pub pointer: String,
    /// What, as a stable code for programs.
    pub code: &'static str,
    /// What, for people. Never holds a value of the event.
    pub message: Cow<'static, str>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.pointer.is_empty() {
            "/"
        } else {
            &self.pointer
        };
        write!(f, "{place}: {}", self.message)
    }
}

/// The faults found so far; at most [`Faults::MAX`] are kept, and one per place: the first
/// found there is the cause, what follows from it would only confuse.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Bounds an answer to a hostile event; every fault of an honest one fits.
    pub const MAX: usize = 64;

    /// Adds a fault, unless that place has one.
    pub fn push(
        &mut self,
        pointer: impl Into<String>,
        code: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) {
        let pointer = pointer.into();
        if self.0.len() < Self::MAX && !self.is_at(&pointer) {
            self.0.push(Fault {
                pointer,
                code,
                message: message.into(),
            });
        }
    }

    /// Adds faults found elsewhere, each unless its place has one.
    pub fn extend(&mut self, faults: impl IntoIterator<Item = Fault>) {
        for fault in faults {
            self.push(fault.pointer, fault.code, fault.message);
        }
    }

    /// Whether a fault at exactly this place is known.
    pub fn is_at(&self, pointer: &str) -> bool {
        self.0.iter().any(|f| f.pointer == pointer)
    }

    /// Whether none was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `value`, if there is no fault.
    ///
    /// # Errors
    /// All faults, in the order found.
    pub fn or_value<T>(self, value: T) -> Result<T, Vec<Fault>> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(self.0)
        }
    }
}

/// The pointer of `name` below `parent`, escaped as RFC 6901 says.
pub fn pointer(parent: &str, name: &str) -> String {
    format!("{parent}/{}", name.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_keeps_its_first_fault_and_the_list_is_bounded() {
        let mut faults = Faults::default();
        faults.push("/a", "first", "x");
        faults.push("/a", "second", "y");
        for i in 0..1000 {
            faults.push(format!("/{i}"), "many", "z");
        }
        let found = faults.or_value(()).unwrap_err();
        assert_eq!(found.len(), Faults::MAX);
        assert_eq!(found[0].code, "first");
        assert_eq!(found[0].to_string(), "/a: x");
    }

    #[test]
    fn pointers_are_escaped() {
        assert_eq!(pointer("/a", "b/c~d"), "/a/b~1c~0d");
    }
}
