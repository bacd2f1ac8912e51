//! A `traceparent`: reading it never panics, and what is taken can be handed on.

#![no_main]

#[path = "../../platform/src/http/trace_context.rs"]
#[allow(dead_code, unused_imports, unreachable_pub)]
mod trace_context;

use libfuzzer_sys::fuzz_target;
use trace_context::TraceContext;

fuzz_target!(|text: &str| {
    if let Ok(context) = text.parse::<TraceContext>() {
        let handed_on = context.to_string();
        assert!(handed_on.starts_with("00-") && handed_on.len() == 55);
        assert_eq!(handed_on.parse(), Ok(context));
        assert_eq!(context.trace_id(), text[3..35]);
    }
});
