//! Which letters are meant.

use clap::{Args, ValueEnum};
use schemas::Timestamp;
use schemas::dead_letter::Position;
use uuid::Uuid;

use super::{Letter, UNKNOWN};

/// Filters. Of one that is given several times any value suffices; all filters must agree.
#[derive(Debug, Clone, Default, Args)]
pub struct FilterArgs {
    /// Organization, a UUID, as the record's key names it
    #[arg(long, value_name = "UUID")]
    pub organization: Option<Uuid>,
    /// Reason code, such as unknown_schema; may be repeated
    #[arg(long, value_name = "CODE")]
    pub reason: Vec<String>,
    /// Topic that the record was refused from; may be repeated
    #[arg(long)]
    pub topic: Vec<String>,
    /// Program the record came from, such as hook/1.2, or hook/* for all that begin so, or
    /// unknown; may be repeated
    #[arg(long)]
    pub client: Vec<String>,
    /// Where the record was refused, topic/partition/offset; may be repeated
    #[arg(long, value_name = "POSITION")]
    pub source: Vec<Position>,
    /// Event, a UUID, where the record could be read that far
    #[arg(long, value_name = "UUID")]
    pub event_id: Option<Uuid>,
    /// Refused records taken by the log at this time or later, RFC 3339
    #[arg(long, value_name = "TIME")]
    pub from: Option<Timestamp>,
    /// Refused records taken by the log before this time, RFC 3339
    #[arg(long, value_name = "TIME")]
    pub to: Option<Timestamp>,
}

/// What has been done about a letter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum State {
    /// Nothing yet
    #[default]
    Open,
    /// Its record was sent again
    Replayed,
    /// Either
    All,
}

impl FilterArgs {
    /// Whether every letter passes.
    pub fn is_empty(&self) -> bool {
        let Self {
            organization,
            reason,
            topic,
            client,
            source,
            event_id,
            from,
            to,
        } = self;
        organization.is_none()
            && reason.is_empty()
            && topic.is_empty()
            && client.is_empty()
            && source.is_empty()
            && event_id.is_none()
            && from.is_none()
            && to.is_none()
    }

    /// Whether a letter passes.
    pub(super) fn matches(&self, letter: &Letter) -> bool {
        let any = |wanted: &[String], has: &str| {
            wanted.is_empty() || wanted.iter().any(|wanted| wanted == has)
        };
        let client = letter.client.as_deref().unwrap_or(UNKNOWN);
        let by_client = |wanted: &String| match wanted.strip_suffix('*') {
            Some(beginning) => letter.client.is_some() && client.starts_with(beginning),
            None => wanted == client,
        };
        let at = letter.recorded_at;
        any(&self.reason, &letter.reason)
            && any(&self.topic, &letter.topic)
            && (self.client.is_empty() || self.client.iter().any(by_client))
            && (self.source.is_empty() || self.source.contains(&letter.source()))
            && self
                .organization
                .is_none_or(|id| letter.organization == Some(id))
            && self.event_id.is_none_or(|id| letter.event_id == Some(id))
            && self.from.is_none_or(|from| from <= at)
            && self.to.is_none_or(|to| at < to)
    }
}

impl State {
    /// Whether a letter is in it.
    pub(super) fn matches(self, letter: &Letter) -> bool {
        match self {
            Self::Open => letter.replayed_at.is_none(),
            Self::Replayed => letter.replayed_at.is_some(),
            Self::All => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ledger::testing::letter;
    use super::*;

    #[test]
    fn all_filters_must_agree_and_any_value_of_one_suffices() {
        let it = Letter {
            organization: Some(Uuid::from_u128(1)),
            event_id: Some(Uuid::from_u128(2)),
            client: Some("hook/1.2".into()),
            ..letter(0, 5, "invalid", 1000)
        };
        let nothing = FilterArgs::default;
        assert!(nothing().is_empty() && nothing().matches(&it));
        let time = |millis| Some(Timestamp::from_millis(millis).unwrap());
        let texts = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect();
        #[rustfmt::skip]
        let cases = [
            (FilterArgs { organization: Some(Uuid::from_u128(1)), ..nothing() }, true),
            (FilterArgs { organization: Some(Uuid::from_u128(2)), ..nothing() }, false),
            (FilterArgs { event_id: Some(Uuid::from_u128(2)), ..nothing() }, true),
            (FilterArgs { event_id: Some(Uuid::from_u128(1)), ..nothing() }, false),
            (FilterArgs { reason: texts(&["wrong_key", "invalid"]), ..nothing() }, true),
            (FilterArgs { reason: texts(&["wrong_key"]), ..nothing() }, false),
            (FilterArgs { topic: texts(&["t"]), ..nothing() }, true),
            (FilterArgs { topic: texts(&["T"]), ..nothing() }, false),
            (FilterArgs { client: texts(&["hook/1.2"]), ..nothing() }, true),
            (FilterArgs { client: texts(&["hook/*"]), ..nothing() }, true),
            (FilterArgs { client: texts(&["hook/1"]), ..nothing() }, false),
            (FilterArgs { client: texts(&["unknown"]), ..nothing() }, false),
            (FilterArgs { from: time(1000), ..nothing() }, true),
            (FilterArgs { from: time(1001), ..nothing() }, false),
            (FilterArgs { to: time(1001), ..nothing() }, true),
            (FilterArgs { to: time(1000), ..nothing() }, false),
            (FilterArgs { reason: texts(&["invalid"]), to: time(1000), ..nothing() }, false),
        ];
        for (filter, passes) in cases {
            assert_eq!(filter.matches(&it), passes, "{filter:?}");
            assert!(!filter.is_empty());
        }
    }

    #[test]
    fn a_letter_without_a_client_is_unknown_and_of_no_pattern() {
        let client = |client: &str| FilterArgs {
            client: vec![client.to_owned()],
            ..FilterArgs::default()
        };
        let it = letter(0, 5, "invalid", 1000);
        assert!(client("unknown").matches(&it));
        assert!(!client("*").matches(&it) && !client("un*").matches(&it));
    }
}
