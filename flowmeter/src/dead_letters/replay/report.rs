//! What became of a replay.

use anyhow::ensure;
use schemas::dead_letter::Position;
use serde_json::json;

use super::super::groups::Group;
use super::super::list::groups_table;
use super::super::print::plain;
use super::DIMENSIONS;

/// What was found, and what became of it.
#[derive(Debug, Clone, Default)]
pub struct ReplayReport {
    /// Open letters that were, or would be, replayed.
    pub letters: usize,
    /// These by reason, client and topic.
    pub groups: Vec<Group>,
    /// Open letters of topics that hold no events, likewise: they are ours to look at.
    pub not_replayable: Vec<Group>,
    /// Letters whose record is in its topic again.
    pub replayed: usize,
    /// Letters that Kafka did not take, and why. They are open still.
    pub refused: Vec<(Position, String)>,
    /// Letters that retention removed meanwhile.
    pub gone: usize,
    /// Whether it was asked to end before its end.
    pub interrupted: bool,
    /// Whether nothing was to be sent.
    pub dry_run: bool,
}

impl ReplayReport {
    /// Whether everything was done.
    ///
    /// # Errors
    /// What was not.
    pub(in super::super) fn verdict(&self) -> anyhow::Result<()> {
        let (replayed, letters) = (self.replayed, self.letters);
        ensure!(
            !self.interrupted || replayed == letters,
            "interrupted after {replayed} of {letters} letters; run it again to go on"
        );
        ensure!(
            self.refused.is_empty(),
            "{} letters were not taken by Kafka and are open still",
            self.refused.len()
        );
        ensure!(
            self.gone == 0,
            "{} letters were removed from Kafka before they could be sent",
            self.gone
        );
        Ok(())
    }

    /// What is printed.
    pub(in super::super) fn text(&self, as_json: bool) -> String {
        if as_json {
            return format!("{}\n", self.json());
        }
        let mut text = String::new();
        if !self.groups.is_empty() {
            text.push_str(&groups_table(&self.groups, &DIMENSIONS));
        }
        if !self.not_replayable.is_empty() {
            let count: usize = self.not_replayable.iter().map(|g| g.count).sum();
            text.push_str(&format!(
                "{count} letters cannot be replayed: their topic holds no events\n"
            ));
            text.push_str(&groups_table(&self.not_replayable, &DIMENSIONS));
        }
        for (source, why) in &self.refused {
            text.push_str(&format!(
                "not taken: {}: {}\n",
                plain(&source.to_string()),
                plain(why)
            ));
        }
        text.push_str(&match (self.letters, self.dry_run) {
            (0, _) => "nothing to replay\n".to_owned(),
            (letters, true) => format!("{letters} letters would be replayed\n"),
            (letters, false) => format!("{} of {letters} letters replayed\n", self.replayed),
        });
        text
    }

    fn json(&self) -> serde_json::Value {
        let groups = |groups: &[Group]| -> Vec<_> {
            groups.iter().map(|group| group.json(&DIMENSIONS)).collect()
        };
        let refused: Vec<_> = self
            .refused
            .iter()
            .map(|(source, why)| json!({ "source": source.to_string(), "why": why }))
            .collect();
        json!({
            "letters": self.letters,
            "groups": groups(&self.groups),
            "not_replayable": groups(&self.not_replayable),
            "replayed": self.replayed,
            "refused": refused,
            "gone": self.gone,
            "interrupted": self.interrupted,
            "dry_run": self.dry_run,
        })
    }
}
