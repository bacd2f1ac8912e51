//! The faults, each under load. What each leaves behind is judged by `System::settle`.

pub(crate) mod cut;
pub(crate) mod jobs;
pub(crate) mod kill;
pub(crate) mod live;
pub(crate) mod poison;
pub(crate) mod rebalance;
pub(crate) mod stack;
pub(crate) mod stop;
