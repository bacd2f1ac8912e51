//! What calls read of the rollups: ranges of time in the longest windows that fit, the rows of
//! one subject in them, and the measures that are told of those.

mod cover;
mod measure;
mod read;

pub(crate) use self::{
    cover::{Piece, cover},
    measure::Measure,
    read::{Row, Source},
};
