//! What runs stages in pairs, A B A B …, and reports every repetition.
//!
//! Machines are noisy, so a result is a ratio of two runs that followed each other. A stage
//! ([`Stage`]) starts what it compares, by [`Context::alternate`], and gives an [`Outcome`]:
//! comparisons, bounds of absolute values, and the peers that could not be compared.

mod context;
pub mod event_load;
mod http_answer;
pub mod http_load;
pub mod installation;
pub mod instance;
pub mod machine;
mod outcome;
pub mod peers;
pub mod process;
pub mod report;
pub mod statistics;
pub mod token;
pub mod worker;
pub mod yardstick;

pub use self::{
    context::{Context, Cores, Options, pinned, shown},
    outcome::{Absent, Bound, Comparison, Goal, Outcome, Pair, Part, Run},
};

/// One row of the report: a stage of the pipeline and what it is measured against.
pub trait Stage {
    /// As `--only` names it: one word, lower case.
    fn name(&self) -> &'static str;

    /// What is measured, and how, in a sentence or two for the report.
    fn about(&self) -> &'static str;

    /// Runs it.
    ///
    /// # Errors
    /// If our own side could not be measured. A peer that cannot be had or that answers
    /// wrongly is no error: it is told in [`Outcome::absent`].
    fn run(&mut self, context: &Context) -> anyhow::Result<Outcome>;
}
