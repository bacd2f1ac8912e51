//! The Flowmeter command line.
