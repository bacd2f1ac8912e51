//! Answers queries over rollups, each organization its own.
