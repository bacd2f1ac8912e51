//! Writes events, rollups and dead letters to TimescaleDB, with cursors, in one transaction.
