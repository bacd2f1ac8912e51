//! The frame and the jobs, on a real database.

mod alerts;
mod frame;
mod retention;
mod support;
