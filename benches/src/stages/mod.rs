//! The rows of the report, one module each.

mod codec;
mod gateway;
mod kafka_windows;
mod latency;
mod partitions;
mod queries;
mod sink;
mod soak;
mod windows;

use anyhow::bail;

use crate::harness::{Run, Stage, event_load, http_load, worker::WorkerArgs};

/// All stages, in the order of an event's way.
pub fn all() -> Vec<Box<dyn Stage>> {
    vec![
        Box::new(codec::Codec),
        Box::new(gateway::Gateway),
        Box::new(gateway::GatewayBatch),
        Box::new(windows::Windows),
        Box::new(kafka_windows::KafkaWindows),
        Box::new(sink::Sink),
        Box::new(queries::Queries),
        Box::new(latency::Latency),
        Box::new(partitions::Partitions),
        Box::new(soak::Soak),
    ]
}

/// Runs a worker: one side of one comparison, once.
///
/// # Errors
/// If there is none of that name, or it fails.
pub fn work(args: &WorkerArgs) -> anyhow::Result<Run> {
    match args.name.as_str() {
        "codec-encode-ours" => codec::encode(args, codec::Side::Ours),
        "codec-encode-peer" => codec::encode(args, codec::Side::Peer),
        "codec-decode-ours" => codec::decode(args, codec::Side::Ours),
        "codec-decode-peer" => codec::decode(args, codec::Side::Peer),
        "windows-ours" => windows::ours(args),
        "soak-load" => soak::post(args),
        "latency-push" => latency::push(args),
        "latency-echo" => latency::echo(args),
        "gateway-bare" => gateway::serve(),
        "event-load" => event_load::run(&args.read_plan()?),
        "kafka-windows-bare" => kafka_windows::count(args),
        "kafka-windows-forward" => kafka_windows::forward(args),
        "http-load" => http_load::run(&args.read_plan()?),
        other => bail!("there is no worker {other}"),
    }
}
