//! The events, their validation, the rollup and its windows, and the Avro codec of
//! Flowmeter. No I/O, no clock, no async: everything here is a function of its arguments.

pub mod client;
pub mod codec;
pub mod dead_letter;
pub mod event;
pub mod fault;
pub mod free_object;
pub mod json;
pub mod rollup;
pub mod source;
pub mod timestamp;
pub mod topics;
pub mod usd;
pub mod window;

pub use event::{Event, EventKind};
pub use fault::{Fault, Faults};
pub use rollup::Rollup;
pub use source::Source;
pub use timestamp::Timestamp;
pub use topics::Topics;
pub use usd::Usd;
pub use window::Window;
