//! What every HTTP service has alike: the server, the layers around its
//! routes, its errors, its health, and the port for operators.

pub mod admin;
pub mod answer_headers;
pub mod health;
pub mod layers;
pub mod problem;
pub mod request_id;
pub mod server;

#[cfg(test)]
mod testing;
