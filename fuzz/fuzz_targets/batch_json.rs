//! A posted batch: taking it apart never panics, and no more events come out of it than it
//! may hold.

#![no_main]

// The gateway itself would bring Kafka's client and a TLS library with it, to be built
// anew with the sanitizer; the file that is fuzzed needs neither.
#[path = "../../ingest-gateway/src/batch.rs"]
#[allow(dead_code, unused_imports, unreachable_pub)]
mod batch;

use libfuzzer_sys::fuzz_target;

const MAX: usize = 5;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match batch::Batch::read(text, MAX) {
        Ok(batch) => assert!((1..=MAX).contains(&batch.events().count())),
        Err(batch::BatchError::Invalid(faults)) => assert!(!faults.is_empty()),
        Err(batch::BatchError::TooMany(count)) => assert!(count > MAX),
        Err(batch::BatchError::Malformed(why)) => assert!(!why.is_empty()),
    }
});
