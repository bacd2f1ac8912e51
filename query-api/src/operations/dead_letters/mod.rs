//! Refused records of an organization.

mod cursor;
pub(crate) mod list;
mod params;
pub(crate) mod replay;
mod replay_request;
mod replayer;
mod store;

#[cfg(test)]
pub(crate) use self::replay_request::NAMES as REPLAY_MEMBERS;
pub use self::replayer::{Replay, ReplayFailure, ReplayGroup, Replayed, Replayer};
