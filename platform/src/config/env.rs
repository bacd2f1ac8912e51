//! A snapshot of environment variables that collects faults as it is read.

use std::{
    collections::{HashMap, HashSet},
    fmt::Display,
    ops::RangeInclusive,
    str::FromStr,
    time::Duration,
};

use secrecy::SecretString;

use super::faults::{ConfigFault, ConfigFaults, quoted};

/// A snapshot of variables and the faults found so far.
///
/// Every reader answers with something usable (often the default) even when it
/// records a fault, so that reading goes on and later faults are found too.
/// Nothing built from an `Env` may be used before [`Env::finish`] said `Ok`.
/// A value is trimmed, and an empty one counts as absent: that is what
/// `VARIABLE=` means in a compose file.
pub struct Env {
    variables: HashMap<String, String>,
    not_text: HashSet<String>,
    faults: Vec<ConfigFault>,
}

impl Env {
    /// The variables of this process, as they are now.
    #[must_use]
    pub fn from_process() -> Self {
        let mut env = Self {
            variables: HashMap::new(),
            not_text: HashSet::new(),
            faults: Vec::new(),
        };
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else {
                continue;
            };
            match value.into_string() {
                Ok(value) => {
                    env.variables.insert(name, value);
                }
                // A fault only for who reads the variable.
                Err(_) => {
                    env.not_text.insert(name);
                }
            }
        }
        env
    }

    /// The given variables and no others; of a repeated name the last counts.
    #[must_use]
    pub fn from_pairs(
        pairs: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>,
    ) -> Self {
        Self {
            variables: pairs
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            not_text: HashSet::new(),
            faults: Vec::new(),
        }
    }

    /// The variable's text, or `default`.
    pub fn text(&mut self, name: &str, default: &str) -> String {
        self.optional(name).unwrap_or_else(|| default.to_owned())
    }

    /// The variable's text, when there is any.
    pub fn optional(&mut self, name: &str) -> Option<String> {
        if self.not_text.contains(name) {
            self.fault(name, "must be UTF-8 text");
            return None;
        }
        let value = self.variables.get(name)?.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    /// The variable's text; when absent a fault, and an empty text.
    pub fn required(&mut self, name: &str) -> String {
        let unreadable = self.not_text.contains(name);
        self.optional(name).unwrap_or_else(|| {
            if !unreadable {
                self.fault(name, "is required");
            }
            String::new()
        })
    }

    /// The variable's text as a secret, untrimmed: a password may end in a blank.
    pub fn secret(&mut self, name: &str) -> Option<SecretString> {
        self.optional(name)?;
        self.variables
            .get(name)
            .map(|value| SecretString::from(value.as_str()))
    }

    /// A number within `range`, or `default`.
    pub fn number<T>(&mut self, name: &str, default: T, range: RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + Display + Copy,
    {
        let Some(value) = self.optional(name) else {
            return default;
        };
        match value.parse::<T>() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                let message = format!(
                    "must be a number from {} to {}{}",
                    range.start(),
                    range.end(),
                    quoted(name, &value)
                );
                self.fault(name, message);
                default
            }
        }
    }

    /// A duration given in whole milliseconds, within `range`.
    pub fn millis(
        &mut self,
        name: &str,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        let bounds = whole_millis(*range.start())..=whole_millis(*range.end());
        Duration::from_millis(self.number(name, whole_millis(default), bounds))
    }

    /// A duration given in whole seconds, within `range`.
    pub fn seconds(
        &mut self,
        name: &str,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        Duration::from_secs(self.number(
            name,
            default.as_secs(),
            range.start().as_secs()..=range.end().as_secs(),
        ))
    }

    /// A duration with its unit, such as `90s`, `15m`, `1h` or `7d`, within `range`.
    pub fn span(
        &mut self,
        name: &str,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        let Some(value) = self.optional(name) else {
            return default;
        };
        match parse_span(&value) {
            Some(span) if range.contains(&span) => span,
            _ => {
                let (least, most) = (range.start().as_secs(), range.end().as_secs());
                let message = format!(
                    "must be a duration such as 90s, 15m, 1h or 7d, from {least}s to {most}s{}",
                    quoted(name, &value)
                );
                self.fault(name, message);
                default
            }
        }
    }

    /// What `parse` makes of the variable's text or of `default`; a fault and
    /// `None` when it makes nothing of it.
    ///
    /// The error's text becomes part of the message, so it must not repeat the
    /// value of a secret.
    pub fn parsed<T, E: Display>(
        &mut self,
        name: &str,
        default: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let value = self.text(name, default);
        match parse(&value) {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                let message = format!("{error}{}", quoted(name, &value));
                self.fault(name, message);
                None
            }
        }
    }

    /// A switch: `true`/`false`, `1`/`0`, `yes`/`no`, `on`/`off`, in any case.
    pub fn flag(&mut self, name: &str, default: bool) -> bool {
        let default_text = if default { "true" } else { "false" };
        self.parsed(name, default_text, |value| {
            match value.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => Ok(true),
                "false" | "0" | "no" | "off" => Ok(false),
                _ => Err("must be true or false"),
            }
        })
        .unwrap_or(default)
    }

    /// Records a fault that a caller found. The message must not hold a secret.
    ///
    /// The same fault said twice is kept once: in one process several services
    /// read the same variables.
    pub fn fault(&mut self, name: &str, message: impl Into<String>) {
        let fault = ConfigFault {
            name: name.to_owned(),
            message: message.into(),
        };
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    /// Whether everything read so far was sound.
    ///
    /// # Errors
    /// All faults together, when there is any.
    pub fn finish(self) -> Result<(), ConfigFaults> {
        if self.faults.is_empty() {
            Ok(())
        } else {
            Err(ConfigFaults::new(self.faults))
        }
    }
}

/// The duration that a text with its unit says, such as `90s`, `15m`, `1h` or `7d`.
pub fn parse_span(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    let count: u64 = text[..text.len() - 1].parse().ok()?;
    count.checked_mul(seconds).map(Duration::from_secs)
}

fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Env {
        Env::from_pairs(pairs.iter().copied())
    }

    #[test]
    fn an_empty_value_counts_as_absent() {
        let mut env = env(&[("A", ""), ("B", "  "), ("C", " x ")]);
        assert_eq!(env.text("A", "a"), "a");
        assert_eq!(env.optional("B"), None);
        assert_eq!(env.text("C", ""), "x");
        assert!(env.secret("A").is_none());
        assert!(env.finish().is_ok());
    }

    #[test]
    fn every_fault_is_reported_together_and_once() {
        let mut env = env(&[
            ("PORT", "70000"),
            ("RATE", "NaN"),
            ("ON", "maybe"),
            ("WAIT", "5"),
        ]);
        assert_eq!(env.number("PORT", 3000_u16, 0..=u16::MAX), 3000);
        assert_eq!(env.number("PORT", 3000_u16, 0..=u16::MAX), 3000);
        assert!((env.number("RATE", 0.5_f64, 0.0..=1.0) - 0.5).abs() < f64::EPSILON);
        assert!(env.flag("ON", true));
        let range = Duration::from_millis(10)..=Duration::from_secs(1);
        assert_eq!(
            env.millis("WAIT", Duration::from_millis(50), range),
            Duration::from_millis(50)
        );
        assert_eq!(env.required("MISSING"), "");
        let faults = env.finish().unwrap_err().to_string();
        assert_eq!(
            faults,
            "PORT: must be a number from 0 to 65535 (got \"70000\")\n\
             RATE: must be a number from 0 to 1 (got \"NaN\")\n\
             ON: must be true or false (got \"maybe\")\n\
             WAIT: must be a number from 10 to 1000 (got \"5\")\n\
             MISSING: is required"
        );
    }

    #[test]
    fn sound_values_are_read() {
        let mut env = env(&[
            ("N", "7"),
            ("MS", "250"),
            ("S", "9"),
            ("F", "Off"),
            ("P", " pass "),
        ]);
        assert_eq!(env.number("N", 1_u8, 1..=9), 7);
        let range = Duration::ZERO..=Duration::from_secs(60);
        assert_eq!(
            env.millis("MS", Duration::ZERO, range.clone()),
            Duration::from_millis(250)
        );
        assert_eq!(
            env.seconds("S", Duration::ZERO, range),
            Duration::from_secs(9)
        );
        assert!(!env.flag("F", true));
        assert_eq!(env.secret("P").unwrap().expose_secret(), " pass ");
        assert!(env.finish().is_ok());
    }

    #[test]
    fn a_span_has_a_unit() {
        let range = Duration::from_secs(1)..=Duration::from_secs(86_400);
        let read = |value: &str| {
            let mut env = env(&[("SPAN", value)]);
            let span = env.span("SPAN", Duration::from_secs(9), range.clone());
            env.finish().map(|()| span.as_secs()).ok()
        };
        for (text, seconds) in [("90s", 90), ("15m", 900), ("1h", 3600), ("1d", 86_400)] {
            assert_eq!(read(text), Some(seconds), "{text}");
        }
        assert_eq!(read(""), Some(9));
        for wrong in [
            "1",
            "h",
            "0s",
            "2d",
            "1.5h",
            "-1h",
            "1é",
            "99999999999999999999d",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_fault_never_quotes_a_secret() {
        let mut env = env(&[
            ("API_TOKEN", "hush"),
            ("X_URL", "http://u:hush@host/?t=hush"),
        ]);
        assert_eq!(env.number("API_TOKEN", 1, 0..=5), 1);
        assert!(
            env.parsed("X_URL", "", |_| Err::<(), _>("must be something else"))
                .is_none()
        );
        let faults = env.finish().unwrap_err();
        assert_eq!(faults.faults().len(), 2);
        assert!(!faults.to_string().contains("hush"), "{faults}");
    }
}
