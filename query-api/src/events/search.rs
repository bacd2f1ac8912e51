//! Full-text search in what an event says: its names, arguments and error message.
//!
//! No index can serve it through a view that is a barrier, and a stored text vector makes rows
//! nearly twice as large ([decision 22](../../../docs/decisions/0022-text-search.md)). So rows
//! are searched slice by slice. Making a text vector of a row is what costs: before that, the
//! row's text must hold every word that any match has.

use platform::database::TenantTx;
use schemas::event::EventKind;
use sqlx::{Postgres, QueryBuilder};

use crate::failure::QueryFailure;

/// What is searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Search {
    /// As the user wrote it, in the syntax of `websearch_to_tsquery`.
    text: String,
    /// Patterns for `like` that the text of every match has.
    needed: Vec<String>,
}

impl Search {
    /// Has the database read a search; `None` if there is not one word in it, so that it
    /// matches nothing.
    pub(super) async fn read(
        transaction: &mut TenantTx,
        text: &str,
    ) -> Result<Option<Self>, QueryFailure> {
        let query: String = sqlx::query_scalar("select websearch_to_tsquery('simple', $1)::text")
            .bind(text)
            .fetch_one(transaction.connection())
            .await?;
        let found = !query.is_empty();
        Ok(found.then(|| Self {
            text: text.to_owned(),
            needed: needed_words(&query)
                .iter()
                .map(|word| pattern(word))
                .collect(),
        }))
    }

    /// Adds the condition to a statement over a kind's view.
    pub(super) fn push(&self, sql: &mut QueryBuilder<Postgres>, kind: EventKind) {
        let (text, vector) = match kind {
            EventKind::CommandExecution => (
                "concat_ws(' ', command_name, error_message, command_args::text)",
                "to_tsvector('simple', concat_ws(' ', command_name, error_message)) \
                 || coalesce(jsonb_to_tsvector('simple', command_args, '\"all\"'), '')",
            ),
            EventKind::AgentInteraction => (
                "concat_ws(' ', agent_name, interaction_type, error_message)",
                "to_tsvector('simple', concat_ws(' ', agent_name, interaction_type, error_message))",
            ),
            // Refused by the parameters: these have no text to search in.
            EventKind::ProductivityMetric | EventKind::UserSession => return,
        };
        // A case, since the planner may try conditions in any order.
        sql.push(format!(" and case when lower({text}) like all("));
        sql.push_bind(self.needed.clone());
        sql.push(format!(
            ") then ({vector}) @@ websearch_to_tsquery('simple', "
        ));
        sql.push_bind(self.text.clone());
        sql.push(") else false end");
    }
}

/// The words of a `tsquery`, in its text form, that every match has. Of one with an
/// alternative or a negation none are known. Nor are those beyond ASCII used: what a letter's
/// small form is, is the locale's, and not the same in all of the database's parts.
fn needed_words(query: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = query.chars();
    while let Some(next) = rest.next() {
        match next {
            '|' | '!' => return Vec::new(),
            '\'' => {
                let word = quoted(&mut rest);
                if word.is_ascii() {
                    words.push(word);
                }
            }
            _ => {}
        }
    }
    words
}

/// The word up to the quote that ends it: a quote within is doubled, and so is a backslash.
fn quoted(rest: &mut std::str::Chars<'_>) -> String {
    let mut word = String::new();
    while let Some(next) = rest.next() {
        match next {
            '\\' => word.extend(rest.next()),
            '\'' if rest.as_str().starts_with('\'') => word.extend(rest.next()),
            '\'' => break,
            _ => word.push(next),
        }
    }
    word
}

/// For `like`: the word anywhere.
fn pattern(word: &str) -> String {
    let mut pattern = String::from("%");
    for letter in word.chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conjunction_needs_all_of_its_words() {
        for (query, words) in [
            ("'deploy'", &["deploy"][..]),
            ("'deploy' & 'failed' <-> 'at'", &["deploy", "failed", "at"]),
            ("'it''s' & 'a\\\\b'", &["it's", "a\\b"]),
            ("'größe' & 'x'", &["x"]),
            ("'a' | 'b'", &[]),
            ("'a' & !'b'", &[]),
            // Operators in a word are none.
            ("'a|b' & '!c'", &["a|b", "!c"]),
            ("", &[]),
        ] {
            assert_eq!(needed_words(query), words, "{query}");
        }
    }

    #[test]
    fn what_means_something_to_like_is_escaped() {
        assert_eq!(pattern("100%_a\\b"), "%100\\%\\_a\\\\b%");
    }
}
