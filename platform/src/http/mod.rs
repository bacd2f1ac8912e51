//! What every HTTP service has alike: the server, the layers around its
//! routes, its errors, its health, and the port for operators.

pub mod admin;
pub mod answer_headers;
pub mod body;
pub mod budget;
mod context;
mod cors;
pub mod encoding;
pub mod health;
pub mod layers;
mod lingering;
pub mod media_type;
pub mod notes;
pub mod overload;
pub mod problem;
pub mod request_id;
pub mod server;
pub mod trace_context;

#[cfg(test)]
mod testing;
