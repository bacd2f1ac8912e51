//! Which alerts begin and which end: plain values.

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reading {
    /// What is measured.
    pub(super) condition: &'static str,
    /// Of what.
    pub(super) subject: String,
    pub(super) value: f64,
    /// Above it an alert fires.
    pub(super) threshold: f64,
}

/// What is known of a condition of a subject.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub(super) struct State {
    pub(super) condition: String,
    pub(super) subject: String,
    pub(super) firing: bool,
    pub(super) value: f64,
    pub(super) threshold: f64,
}

/// An alert that begins or ends.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Change {
    /// What is true now.
    pub(super) state: State,
}

/// What changes from `before` by new readings. A subject of which nothing was read any more is
/// well, unless its condition is among the `unknown` ones, which could not be read at all:
/// nothing is said of those.
pub(super) fn changes(before: &[State], readings: &[Reading], unknown: &[&str]) -> Vec<Change> {
    let was_firing = |reading: &Reading| {
        let same = |s: &&State| s.condition == reading.condition && s.subject == reading.subject;
        before.iter().find(same).is_some_and(|state| state.firing)
    };
    let read = readings.iter().filter_map(|reading| {
        let firing = reading.value > reading.threshold;
        (firing != was_firing(reading)).then(|| Change {
            state: State {
                condition: reading.condition.to_owned(),
                subject: reading.subject.clone(),
                firing,
                value: reading.value,
                threshold: reading.threshold,
            },
        })
    });
    let is_read = |state: &State| {
        let mut all = readings.iter();
        all.any(|r| r.condition == state.condition && r.subject == state.subject)
    };
    let gone = before.iter().filter(|state| {
        state.firing && !is_read(state) && !unknown.contains(&state.condition.as_str())
    });
    let gone = gone.map(|state| Change {
        state: State {
            firing: false,
            ..state.clone()
        },
    });
    read.chain(gone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(subject: &str, value: f64) -> Reading {
        Reading {
            condition: "lag",
            subject: subject.to_owned(),
            value,
            threshold: 10.0,
        }
    }

    fn apply(
        before: &mut Vec<State>,
        readings: &[Reading],
        unknown: &[&str],
    ) -> Vec<(String, bool)> {
        let changes = changes(before, readings, unknown);
        for Change { state } in &changes {
            before.retain(|s| s.subject != state.subject);
            before.push(state.clone());
        }
        let told = changes
            .into_iter()
            .map(|c| (c.state.subject, c.state.firing));
        told.collect()
    }

    #[test]
    fn an_alert_is_told_once_when_it_begins_and_once_when_it_ends() {
        let mut states = Vec::new();
        let told = |subject: &str, firing| vec![(subject.to_owned(), firing)];
        assert_eq!(apply(&mut states, &[reading("a", 10.0)], &[]), []);
        assert_eq!(
            apply(&mut states, &[reading("a", 11.0)], &[]),
            told("a", true)
        );
        assert_eq!(
            apply(&mut states, &[reading("a", 99.0), reading("b", 1.0)], &[]),
            []
        );
        assert_eq!(
            apply(&mut states, &[reading("a", 10.0)], &[]),
            told("a", false)
        );
        assert_eq!(apply(&mut states, &[reading("a", 3.0)], &[]), []);
    }

    #[test]
    fn a_subject_that_is_gone_is_well_and_one_that_cannot_be_read_stays_as_it_is() {
        let mut states = Vec::new();
        apply(&mut states, &[reading("a", 11.0)], &[]);
        assert_eq!(apply(&mut states, &[], &["lag"]), []);
        assert_eq!(
            apply(&mut states, &[], &["memory"]),
            [("a".to_owned(), false)]
        );
    }
}
