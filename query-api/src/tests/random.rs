//! A year of random events, and random sets of parameters for every call that answers with
//! data: each answer is compared with plain SQL over the raw rows, or with what these give when
//! they are simply counted.
//!
//! `QUERY_SEED` repeats a run, whose seed is printed when it fails; `QUERY_CASES` is how many
//! sets are tried of each call.

mod aggregates;
mod anomalies;
mod dashboards;
mod events;
mod expected;
mod exports;
mod facts;
mod lists;
mod made;
mod question;
mod raw_rows;
mod real_time;
mod stats;
mod year;
