//! `flowmeter health`: for people and for container health checks.

use std::time::Duration;

use clap::Args;

/// Arguments of `flowmeter health`.
#[derive(Debug, Args)]
pub(crate) struct HealthArgs {
    /// What to ask
    #[arg(long, default_value = "http://127.0.0.1:3000/api/metrics/health")]
    url: String,
}

#[allow(clippy::print_stdout, reason = "the report is the output")]
pub(crate) async fn run(args: &HealthArgs) -> anyhow::Result<()> {
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(5))
        .build()?;
    let response = client.get(&args.url).send().await?;
    let status = response.status();
    println!("{}", response.text().await?);
    anyhow::ensure!(status.is_success(), "answered {status}");
    Ok(())
}
