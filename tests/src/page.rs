//! The dashboard page in a real browser: `query-api/web/e2e/page.mjs`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use platform::auth::Role;
use reqwest::StatusCode;
use serde_json::json;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::client::Client;
use crate::pipeline::{Pipeline, eventually};

const COMMANDS: usize = 40;
const AGENTS: usize = 25;

/// What the test needs besides the stack, or how to get it.
fn browser() -> Result<PathBuf, &'static str> {
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("../query-api/web");
    let paths = env::var_os("PATH").unwrap_or_default();
    let have = |program: &str| env::split_paths(&paths).any(|path| path.join(program).exists());
    if !have("node") {
        return Err("node is not here (Node.js 20.19 or later)");
    }
    if env::var_os("CHROMIUM").is_none() && !Path::new("/usr/bin/chromium").exists() {
        return Err("Chromium is not here (Debian: apt-get install chromium, or set CHROMIUM)");
    }
    if !web.join("node_modules/playwright-core").exists() {
        return Err("what drives the browser is not here (npm ci in query-api/web)");
    }
    Ok(web)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_what_was_posted_and_can_be_used_by_everybody() {
    let web = match browser() {
        Ok(web) => web,
        Err(missing) if env::var("CI").as_deref() == Ok("true") => panic!("{missing}"),
        Err(missing) => return eprintln!("the page is not tried: {missing}"),
    };
    let mut pipeline = Pipeline::start().await;
    let client = Client::of(&pipeline, Uuid::new_v4(), Role::Admin);
    let (user, team) = (Uuid::new_v4(), Uuid::new_v4());
    let status = |i: usize| {
        if i.is_multiple_of(10) {
            "error"
        } else {
            "success"
        }
    };
    let commands: Vec<_> = (0..COMMANDS)
        .map(|i| {
            json!({"user_id": user, "team_id": team, "command_name": format!("command-{}", i % 12),
                "execution_time_ms": 20 * i, "status": status(i)})
        })
        .collect();
    let agents: Vec<_> = (0..AGENTS)
        .map(|i| {
            json!({"user_id": user, "team_id": team, "agent_name": "coder", "model": "large",
                "interaction_type": "chat", "execution_time_ms": 900 * i, "status": status(i),
                "input_tokens": 4000, "output_tokens": 300, "cost_usd": 0.25})
        })
        .collect();
    let batch = json!({"command_executions": commands, "agent_interactions": agents});
    let (answer, body) = client.post("/api/metrics/batch", &batch).await;
    assert_eq!(answer, StatusCode::ACCEPTED, "{body}");
    eventually("all of it is added up", || async {
        let rows = client.aggregated("aggregation_window=1d").await;
        let count = |kind| -> u64 {
            rows.iter()
                .filter_map(|row| row[kind]["count"].as_u64())
                .sum()
        };
        (count("commands") == COMMANDS as u64 && count("agents") == AGENTS as u64).then_some(())
    })
    .await;

    let expected = json!({"commands": COMMANDS, "agents": AGENTS, "user": user});
    let mut script = Command::new("node");
    script
        .current_dir(web)
        .args(["e2e/page.mjs", pipeline.base(), &client.token])
        .arg(expected.to_string())
        .stdin(Stdio::null());
    let output = spawn_blocking(move || script.output())
        .await
        .unwrap()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{why}");
    pipeline.stop().await;
}
