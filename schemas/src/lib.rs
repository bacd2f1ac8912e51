//! The events, their validation, the rollup and its windows, and the Avro codec of Flowmeter. No I/O, no clock.
