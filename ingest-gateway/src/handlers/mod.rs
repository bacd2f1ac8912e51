//! The calls, a file for each resource, with their descriptions.

mod batch;
mod cloud_events;
mod events;
mod sessions;

pub(crate) use self::{batch::*, cloud_events::*, events::*, sessions::*};
